"""Pairs are scored in batches, from the first site's block on; no score may notice either."""

import sys
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest
import torch

from relp_sae.attribution import (
    attribute,
    batches,
    method_named,
    methods,
    scored_in_batches,
    secant,
    slopes,
    unit_scores,
)
from relp_sae.attribution.activations import BOTH, activations
from relp_sae.attribution.batches import TOKENS
from relp_sae.errors import InputError, RunError
from relp_sae.metrics import metrics
from relp_sae.records import Site
from relp_sae.records.site import KINDS
from relp_sae.run.prefixes import Prefixes
from relp_sae.run.readout import readout

NAMES = [*methods, "secant:3"]
SEEING = [name for name in NAMES if method_named(name).passes(1).forwards]
ROUNDING = {"gpt2": 1e-10}
FLOAT32_INSIDE = 1e-5


@pytest.fixture
def mixed(load_tiny, make_run, family):
    """Five pairs of lengths 7, 8, 7, 7, 8 in float64, at a site of every kind."""
    run = make_run(load_tiny(family, "float64"), *(f"{kind}.1" for kind in KINDS))
    first, second, longer = run.pairs
    return replace(run, pairs=[first, longer, second, first, longer])


def assert_close(found, expected, family):
    tolerance = ROUNDING.get(family, FLOAT32_INSIDE)
    assert np.abs(expected).max() > 1e-2
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize("name", NAMES)
def test_a_pair_scores_in_a_batch_what_it_scores_alone(mixed, family, name):
    method = method_named(name)
    for base in method.bases:
        for batch in ([0, 2, 3], [4, 1], [3, 4, 0, 1]):
            together = method.scores(mixed, batch, base)
            assert len(together) == len(batch)
            for pair, scores in zip(batch, together, strict=True):
                (alone,) = method.scores(mixed, [pair], base)
                assert len(scores) == len(mixed.units_of(pair).pos)
                assert_close(scores, alone, family)


@pytest.mark.parametrize("name", NAMES)
def test_attribute_keeps_the_order_of_pairs_of_different_lengths(mixed, family, name):
    found = attribute(mixed, name)
    method = method_named(name)
    expected = [method.scores(mixed, [pair], method.bases[0])[0] for pair in mixed.kept]
    assert_close(found.score, np.concatenate(expected), family)


def test_batches_are_decided_by_the_kept_pairs_and_their_changed_tokens(mixed):
    assert batches(mixed, 1) == [[0, 2, 3, 1, 4]]
    changed = [len(pair.clean_ids) - pair.first_change for pair in mixed.pairs]
    assert changed == [5, 4, 4, 5, 4]  # tokens of a row
    assert batches(mixed, TOKENS // 12) == [[0, 2], [3, 1], [4]]
    assert batches(mixed, TOKENS) == [[0], [2], [3], [1], [4]]  # a pair is never divided
    wrong = replace(mixed.pairs[2], answer=mixed.pairs[2].foil, foil=mixed.pairs[2].answer)
    fewer = replace(mixed, pairs=[*mixed.pairs[:2], wrong, *mixed.pairs[3:]])
    assert fewer.kept == [0, 1, 3, 4]
    assert batches(fewer, 1) == [[0, 3, 1, 4]]


def test_a_short_prompt_is_in_no_batch_with_a_longer_change(mixed):
    short = replace(
        mixed.pairs[0], clean_ids=mixed.pairs[0].clean_ids[-4:], corrupted_ids=(1, 2, 3, 4)
    )
    run = replace(mixed, pairs=[mixed.pairs[0], short])
    run.__dict__["kept"] = [0, 1]  # whatever the model makes of the short one
    assert batches(run, 1) == [[0], [1]]
    with pytest.raises(InputError, match=r"4 tokens .* changes in the last 5"):
        run.prefixes.starts([0, 1])


def test_what_attention_reads_and_the_logits_bound_a_batch(mixed, monkeypatch):
    module = sys.modules["relp_sae.attribution.batches"]
    monkeypatch.setattr(module, "READ", 16)
    assert batches(mixed, 1) == [[0, 2], [3, 1], [4]]
    monkeypatch.undo()
    monkeypatch.setattr(module, "LOGITS", 2 * mixed.model.config.vocab_size)
    assert batches(mixed, 1) == [[0, 2, 3, 1, 4]]  # two logits a run are read
    whole = replace(mixed, metric=metrics["answer_logprob"])
    assert batches(whole, 1) == [[0, 2], [3, 1], [4]]


def test_what_was_dropped_of_the_positions_before_is_found_again(mixed, monkeypatch):
    expected = attribute(mixed, "integrated-gradients:3").score
    monkeypatch.setattr("relp_sae.run.paired_run.PREFIXES", 0.0)
    again, recorded = replace(mixed), []
    module = sys.modules["relp_sae.run.prefixes"]
    plain = module.record_prompts

    def counting(*given):
        recorded.append(given)
        return plain(*given)

    monkeypatch.setattr(module, "record_prompts", counting)
    np.testing.assert_array_equal(attribute(again, "integrated-gradients:3").score, expected)
    assert len(recorded) > len(again.activations.batches) == 2


def test_a_pass_starts_at_no_block_before_the_first_that_is_known(mixed):
    entry, read = Site(0, "resid_pre"), readout(mixed, [0])
    x = torch.zeros(1, mixed.prefixes.changed([0]), 32, dtype=torch.float64)
    with pytest.raises(RunError, match="from block 1 on"):
        slopes.start_at(read, entry, x)


def test_where_frequencies_depend_on_the_length_batches_are_of_one_length(mixed, monkeypatch):
    long = {"rope_type": "longrope", "original_max_position_embeddings": 4096}
    monkeypatch.setattr(mixed.model.config, "rope_parameters", long, raising=False)
    assert batches(mixed, 1) == [[0, 2, 3], [1, 4]]


def test_a_run_that_goes_on_makes_the_same_batches(mixed):
    """What a pair scores does not depend on which pairs were asked for before, to the last bit."""
    for name in ("gradient", "secant", "integrated-gradients:3"):
        method = method_named(name)
        whole, later = (scored_in_batches(mixed, method, method.bases[0]) for _ in range(2))
        expected = [whole(pair) for pair in mixed.kept]
        for pair in (4, 3):
            np.testing.assert_array_equal(later(pair), expected[pair])


def test_rows_are_those_of_one_pass():
    rows = {"gradient": 1, "relp-mean": 2, "secant": 2, "secant:3": 4, "direct": 1}
    assert {name: method_named(name).rows for name in rows} == rows
    assert method_named("integrated-gradients:7").rows == 7


@pytest.mark.parametrize("name", SEEING)
def test_starting_at_the_block_and_the_change_is_the_whole_pass(mixed, family, name, monkeypatch):
    found = attribute(mixed, name).score
    for module in (slopes, secant):
        monkeypatch.setattr(module, "entry_of", lambda _site: Site(0, "resid_pre"))
    of_all_blocks = Prefixes(mixed.model, mixed.products, mixed.pairs, mixed.activations, 0, 10**9)
    mixed.__dict__["prefixes"] = of_all_blocks
    monkeypatch.setattr(
        of_all_blocks, "changed", lambda pairs: len(mixed.pairs[pairs[0]].clean_ids)
    )
    method = method_named(name)
    whole = [method.scores(mixed, [pair], method.bases[0])[0] for pair in mixed.kept]
    assert_close(found, np.concatenate(whole), family)


@pytest.mark.parametrize("name", SEEING)
@pytest.mark.parametrize("kind", KINDS)
def test_no_block_is_run_that_need_not_be(model, make_run, name, kind):
    run = make_run(model, f"{kind}.1")
    together = replace(run, pairs=run.pairs[:2])
    assert together.units_of(0).delta.any()  # measured before the counting
    assert len(together.kept) == 2
    together.prefixes.earlier([0, 1], 1)
    ran, positions = Counter(), set()

    def counting(layer):
        def count(_module, _args, output):
            ran.update([layer])
            positions.add((layer, output[0].shape[1]))

        return count

    with ExitStack() as hooks:
        for layer in range(3):
            attention = run.model.in_block(layer, run.model.family.attention)
            hooks.callback(attention.register_forward_hook(counting(layer)).remove)
        attribute(together, name)
    recorded = kind == "resid_pre"
    assert ran[0] == (0 if recorded else 1)  # to read what enters block 1
    assert ran[2] == 1
    assert ran[1] <= 2
    changed = len(run.pairs[0].clean_ids) - run.pairs[0].first_change
    assert {seen for layer, seen in positions if layer == 2} == {changed}


@pytest.mark.parametrize("name", SEEING)
@pytest.mark.parametrize("layer", [0, 2])
def test_a_failure_on_the_way_leaves_the_model_as_it_was(model, make_run, state_of, name, layer):
    """Also in the pass that only reads what enters the first site's block."""
    run = make_run(model, "mlp_out.1")
    assert run.kept
    before, expected = state_of(model), attribute(run, name).score
    part = model.in_block(layer, model.family.attention)

    def fail(*_args):
        raise RuntimeError("out of memory")

    handle = part.register_forward_hook(fail)
    try:
        with pytest.raises(RuntimeError, match="out of memory"):
            attribute(run, name)
    finally:
        handle.remove()
    assert state_of(model) == before
    np.testing.assert_array_equal(attribute(run, name).score, expected)


@pytest.mark.parametrize("metric", metrics)
def test_the_readout_has_the_metric_of_whole_passes(model, make_run, metric):
    """From the last block on, with the logits that the metric reads and no others."""
    run = make_run(model, "resid_post.2", metric=metric)
    seen = activations(run, [1, 0], BOTH, run.sites)[run.sites[0]]
    read = readout(run, [1, 0])
    assert (read.tokens is None) == (run.metric.reads == "vocabulary")
    found = read.metric(read.logits(seen[:, -1]))
    expected = [
        value
        for pair in (1, 0)
        for value in (run.measured[pair].corrupted_metric, run.measured[pair].clean_metric)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_decoder_rows_are_gathered_in_pieces(mixed, family, monkeypatch):
    expected = attribute(mixed, "gradient").score
    monkeypatch.setattr(unit_scores, "UNITS", 5)
    assert_close(attribute(mixed, "gradient").score, expected, family)


def test_scores_are_the_products_of_steps_and_slopes(mixed, family):
    draw = torch.Generator().manual_seed(3)
    start = min(mixed.pairs[pair].first_change for pair in (0, 2))
    given = {
        site: torch.randn(2, 7 - start, 32, generator=draw, dtype=torch.float64)
        for site in mixed.sites
    }
    found = unit_scores.slope_scores(mixed, [2, 0], given)
    for row, pair in enumerate([2, 0]):
        expected = [
            (steps.vector * given[steps.site][row][steps.pos - start]).sum(-1)
            for steps in mixed.steps(pair)
        ]
        assert_close(found[row], torch.cat(expected).numpy(), family)
