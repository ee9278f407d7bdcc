"""A run measures every pair, drops those that the model gets wrong, and refuses what cannot be."""

import dataclasses

import numpy as np
import pytest
import torch

from relp_sae.errors import InputError
from relp_sae.metrics import metrics
from relp_sae.models import load_model
from relp_sae.run import PairedRun
from relp_sae.saes import load_saes


@torch.no_grad()
def last_logits(run, ids):
    return run.model.hf(input_ids=torch.tensor([ids])).logits[0, -1]


def swapped(pair):
    """The same pair with answer and foil exchanged: the model gets it wrong."""
    return dataclasses.replace(pair, answer=pair.foil, foil=pair.answer)


def hook_counts(model):
    return [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.hf.modules()]


def with_pairs(run, *pairs):
    return dataclasses.replace(run, pairs=list(pairs))


def test_both_runs_of_every_pair_are_measured(paired_run):
    assert paired_run.kept == [0, 1, 2]
    for pair, measured in zip(paired_run.pairs, paired_run.measured, strict=True):
        clean, corrupted = (
            last_logits(paired_run, ids) for ids in (pair.clean_ids, pair.corrupted_ids)
        )
        for value, logits in (
            (measured.clean_metric, clean),
            (measured.corrupted_metric, corrupted),
        ):
            expected = (logits[pair.answer] - logits[pair.foil]).item()
            assert value == pytest.approx(expected, abs=1e-4)
        assert measured.pair is pair
        assert measured.dropped == ""


@pytest.mark.parametrize("name", metrics)
def test_the_metric_is_the_one_asked_for(model, make_run, name):
    run = make_run(model, "resid_pre.1", metric=name)
    pair = run.pairs[1]
    logits = torch.stack([last_logits(run, pair.clean_ids), last_logits(run, pair.corrupted_ids)])
    answer, foil = torch.tensor([pair.answer] * 2), torch.tensor([pair.foil] * 2)
    expected = metrics[name](logits, answer, foil)
    assert torch.equal(run.metric_of(1, logits), expected)
    assert run.measured[1].clean_metric == pytest.approx(expected[0].item(), abs=1e-4)
    assert run.measured[1].corrupted_metric == pytest.approx(expected[1].item(), abs=1e-4)


def test_pairs_that_the_model_gets_wrong_are_measured_but_dropped(paired_run):
    first, second, third = paired_run.pairs
    run = with_pairs(paired_run, swapped(first), second, swapped(third))
    assert run.kept == [1]
    reason = "the model prefers the foil on the clean prompt"
    assert [one.dropped for one in run.measured] == [reason, "", reason]
    assert run.measured[0].clean_metric == pytest.approx(-paired_run.measured[0].clean_metric)
    assert set(run.units.pair) == {1}
    assert len(run.units) == len(paired_run.units_of(1))


@pytest.mark.parametrize("name", metrics)
def test_what_is_dropped_does_not_depend_on_the_metric(model, make_run, name):
    run = make_run(model, "resid_pre.1", metric=name)
    assert run.kept == [0, 1, 2]
    assert with_pairs(run, swapped(run.pairs[0]), run.pairs[1]).kept == [1]


def test_no_pair_is_right(paired_run):
    run = with_pairs(paired_run, *map(swapped, paired_run.pairs))
    assert len(run.measured) == 3
    with pytest.raises(InputError, match=r"gets none of the 3 pairs right, so there is no behav"):
        _ = run.kept
    with pytest.raises(InputError, match="none of the 3 pairs"):
        _ = run.units


@pytest.mark.parametrize("lacking", [{"pairs": []}, {"dictionaries": {}}])
def test_without_pairs_or_saes(paired_run, lacking):
    with pytest.raises(InputError, match="needs at least one SAE and one prompt pair"):
        dataclasses.replace(paired_run, **lacking)


def test_an_sae_that_does_not_fit(paired_run, sae_folder):
    for folder, dtype, sentence in (
        (sae_folder("resid_pre.9"), "float32", "no site resid_pre"),
        (sae_folder(d_in=24), "float32", "d_in = 24"),
        (sae_folder(), "float64", "Load both with the same"),
    ):
        saes = load_saes(str(folder), dtype=dtype)
        with pytest.raises(InputError, match=sentence):
            dataclasses.replace(paired_run, dictionaries=saes)


def test_a_prompt_that_is_too_long(paired_run):
    pair = paired_run.pairs[0]
    ids = [tuple(pair.clean_ids) + (5,) * 57, tuple(pair.corrupted_ids) + (5,) * 57]
    longest = dataclasses.replace(pair, clean_ids=ids[0], corrupted_ids=ids[1])
    assert len(with_pairs(paired_run, longest).measured) == 1
    longer = dataclasses.replace(pair, clean_ids=(*ids[0], 5), corrupted_ids=(*ids[1], 5))
    with pytest.raises(InputError, match="reads at most 64 tokens; the prompt 'clean of 7' has 65"):
        with_pairs(paired_run, pair, longer)


@pytest.mark.parametrize("where", ["clean_ids", "corrupted_ids", "answer", "foil"])
def test_a_token_that_the_model_does_not_know(paired_run, where):
    pair, size = paired_run.pairs[1], paired_run.model.config.vocab_size
    for token, known in ((size - 1, True), (size, False)):
        old = getattr(pair, where)
        new = (*old[:-1], token) if isinstance(old, tuple) else token
        changed = dataclasses.replace(pair, **{where: new})
        if known:
            assert with_pairs(paired_run, changed).pairs == [changed]
        else:
            with pytest.raises(InputError, match=f"knows the token ids 0 to {size - 1};.* {size}"):
                with_pairs(paired_run, changed)


def test_a_model_that_gives_no_numbers(save_tiny, family, paired_run):
    model = load_model(str(save_tiny(family)))
    with torch.no_grad():
        next(model.blocks[1].parameters()).view(-1)[0] = torch.nan
    run = PairedRun(model, paired_run.dictionaries, paired_run.pairs, paired_run.metric)
    with pytest.raises(InputError, match="gives a metric of nan on the prompt 'clean of 7'"):
        _ = run.measured


def test_it_is_frozen_and_measures_once(paired_run):
    with pytest.raises(dataclasses.FrozenInstanceError):
        paired_run.metric = metrics["answer_logprob"]
    assert paired_run.activations is paired_run.activations
    assert paired_run.units is paired_run.units


def test_it_leaves_the_model_as_it_was(model, make_run):
    ids = torch.tensor([[0, 4, 9, 16]])
    hash_before, hooks, before = model.sha256(), hook_counts(model), model.last_logits(ids)
    run = make_run(model, "resid_mid.1", "resid_post.2")
    assert len(run.units) > 0
    assert model.sha256() == hash_before
    assert torch.equal(model.last_logits(ids), before)
    assert hook_counts(model) == hooks


def test_scores_become_a_record_in_the_order_of_units(paired_run):
    arrays = [np.arange(len(paired_run.units_of(pair))) + 100.0 * pair for pair in paired_run.kept]
    record = paired_run.scores("estimate", "mine", "clean", arrays)
    assert (record.kind, record.name, record.base) == ("estimate", "mine", "clean")
    assert np.array_equal(record.score, np.concatenate(arrays))
    assert record.score.dtype == np.float64
    assert not record.stderr.any()
    assert record.units is paired_run.units
