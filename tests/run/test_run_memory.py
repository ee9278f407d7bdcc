"""Whatever is dropped or cut into pieces to save memory, the figures stay what they are."""

import dataclasses
import gc
import weakref

import numpy as np
import pytest
import torch

from relp_sae.errors import InputError
from relp_sae.run import PairedRun
from relp_sae.run import activations as activations_file
from relp_sae.run import paired_run as paired_run_file
from relp_sae.run.quality import sae_quality
from relp_sae.run.steps import Seen, pair_steps
from relp_sae.saes import dictionary as dictionary_file
from relp_sae.saes import whole_nodes
from relp_sae.saes.dictionary import positions_at_once, reconstruction

STEP_FIELDS = ("pos", "feature", "delta", "relative", "remainders", "vector")


def same(one, other):
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in STEP_FIELDS)


@pytest.fixture
def many(paired_run):
    """Twelve pairs, of lengths 7, 7, 8, 7, 7, 8, ..., not measured yet."""
    return dataclasses.replace(paired_run, pairs=list(paired_run.pairs) * 4)


@pytest.fixture
def fresh(many):
    """``fresh()``: the same run, not measured yet."""
    return lambda: dataclasses.replace(many)


def small(monkeypatch, run, pairs):
    """Let only the activations of so many pairs of 7 tokens, and no pair's steps, be kept."""
    size = pairs * 2 * 7 * len(run.sites) * run.model.d_model * run.model.dtype.itemsize
    monkeypatch.setattr(paired_run_file, "budget_of", lambda *_: size)
    monkeypatch.setattr(activations_file, "WINDOW_BYTES", size // 2)
    monkeypatch.setattr(paired_run_file, "ACTIVATIONS", 1.0)
    monkeypatch.setattr(paired_run_file, "STEPS", 0.0)
    return size


def test_the_memory_is_a_size_and_does_not_say_who_is_run_with_whom(many):
    run = dataclasses.replace(many, memory="64 MiB")
    assert run.budget == 2**26
    assert run.activations.batches == dataclasses.replace(many, memory=10).activations.batches
    with pytest.raises(InputError, match="Cannot read the memory budget 'much'"):
        dataclasses.replace(many, memory="much")


def test_pairs_of_one_length_are_run_together(many, monkeypatch):
    shapes = []
    whole = type(many.model).last_logits
    monkeypatch.setattr(
        type(many.model), "last_logits", lambda m, ids: shapes.append(ids.shape) or whole(m, ids)
    )
    assert len(many.measured) == 12
    assert sorted(shapes) == [(8, 8), (16, 7)]


@torch.no_grad()
def test_a_batch_gives_each_pair_what_it_gets_alone(many):
    for pair, seen in zip(many.pairs, many.activations, strict=True):
        for x, ids in ((seen.clean, pair.clean_ids), (seen.corrupted, pair.corrupted_ids)):
            hidden = many.model.hf(torch.tensor([ids]), output_hidden_states=True).hidden_states
            for site in many.sites:
                torch.testing.assert_close(x[site], hidden[site.layer][0], rtol=0, atol=1e-4)


def test_what_was_dropped_comes_back_bit_for_bit(fresh, monkeypatch):
    run = fresh()
    size = small(monkeypatch, run, 8)
    first = [(seen.behaviour, seen.clean, seen.corrupted) for seen in run.activations]
    steps = [run.steps(pair) for pair in range(12)]
    for pair in (11, 0, 5, 5, 3, 10, 0, 1):
        behaviour, clean, corrupted = first[pair]
        again = run.activations[pair]
        assert again.behaviour == behaviour
        for site in run.sites:
            assert torch.equal(again.clean[site], clean[site])
            assert torch.equal(again.corrupted[site], corrupted[site])
        assert all(map(same, run.steps(pair), steps[pair]))
        assert run.activations._measured.held <= size
    asked_late = fresh()
    assert all(map(same, asked_late.steps(7), steps[7]))  # whatever was asked for before
    assert [one.clean_metric for one in asked_late.measured] == [b.clean_metric for b, *_ in first]


def test_going_through_the_pairs_runs_each_once_even_if_few_are_kept(fresh, monkeypatch):
    run = fresh()
    small(monkeypatch, run, 8)
    prompts = []
    whole = type(run.model).last_logits
    monkeypatch.setattr(
        type(run.model), "last_logits", lambda m, ids: prompts.append(len(ids)) or whole(m, ids)
    )
    assert len(run.measured) == 12
    assert sum(prompts) == 24
    assert len(run.units) > 0
    assert sum(prompts) <= 48
    assert len(run.behaviours) == len(run.kept) == 12
    assert sum(prompts) <= 48  # what is kept of all pairs needs no activation


def test_no_pair_is_run_again_for_steps_that_are_kept(fresh, monkeypatch):
    run = fresh()
    expected = fresh().units
    small(monkeypatch, run, 2)
    monkeypatch.setattr(paired_run_file, "STEPS", 100.0)
    prompts = []
    whole = type(run.model).last_logits
    monkeypatch.setattr(
        type(run.model), "last_logits", lambda m, ids: prompts.append(len(ids)) or whole(m, ids)
    )
    assert len(run.kept) == 12
    np.testing.assert_allclose(run.units.delta, expected.delta, rtol=1e-4, atol=1e-4)
    assert sum(prompts) == 24


def test_dropped_activations_are_freed(fresh, monkeypatch):
    run = fresh()
    small(monkeypatch, run, 2)
    site = run.sites[0]
    seen = [weakref.ref(one.clean[site]) for one in run.activations]
    assert len(run.measured) == 12
    gc.collect()
    assert sum(ref() is not None for ref in seen) <= 2


def test_activations_are_like_a_list(many):
    seen = many.activations
    assert len(seen) == 12
    assert seen[-1].behaviour == seen[11].behaviour
    assert [one.behaviour for one in seen] == many.behaviours
    with pytest.raises(IndexError):
        _ = seen[12]


def test_the_pair_without_a_finite_metric_is_named(many):
    def broken(logits, answers, foils):
        values = many.metric(logits, answers, foils)
        return torch.where(answers == 7, torch.inf, values)

    bad = dataclasses.replace(many.pairs[0], clean="the one with a number", answer=7)
    pairs = [*many.pairs[:3], bad, *many.pairs]
    metric = dataclasses.replace(many.metric, value=broken)
    run = PairedRun(many.model, many.dictionaries, pairs, metric)
    with pytest.raises(InputError, match="metric of inf on the prompt 'the one with a number'"):
        _ = run.measured


def far_apart(d_model, positions, dtype):
    draw = torch.Generator().manual_seed(3)
    x = torch.randn(2, positions, d_model, generator=draw, dtype=torch.float64).to(dtype)
    x[1, :2] = x[0, :2]
    x[1, 5] = x[0, 5]  # a later position where the runs agree
    return x


@pytest.mark.parametrize("architecture", ["topk", "standard", "jumprelu"])
@pytest.mark.parametrize("most", [1, 3])
def test_steps_by_chunks_are_those_at_once(sae_folder, monkeypatch, architecture, most):
    from relp_sae.saes import load_saes

    (dictionary,) = load_saes(str(sae_folder(architecture=architecture)), dtype="float64").values()
    clean, corrupted = (Seen(x, x) for x in far_apart(32, 11, torch.float64))
    whole = pair_steps(dictionary, clean, corrupted, 2)
    lengths, encode = [], type(dictionary).encode
    monkeypatch.setattr(
        type(dictionary), "encode", lambda d, x: lengths.append(len(x)) or encode(d, x)
    )
    monkeypatch.setattr(dictionary_file, "FEATURE_BYTES", most * 64 * 8)
    monkeypatch.setattr("relp_sae.run.steps.FEATURE_BYTES", 32 * 8)  # one decoder row
    parts = pair_steps(dictionary, clean, corrupted, 2)
    assert positions_at_once(dictionary) == most == max(lengths)
    assert sum(lengths) == 2 * 9
    assert torch.equal(parts.pos, whole.pos)
    assert torch.equal(parts.feature, whole.feature)
    for name in ("delta", "relative", "remainders", "vector"):
        one, other = getattr(parts, name), getattr(whole, name)
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)
    assert set(whole.pos.tolist()) == {2, 3, 4, 6, 7, 8, 9, 10}


def test_steps_one_position_after_the_other(sae_folder):
    """The definition, written as a loop."""
    from relp_sae.saes import load_saes

    (dictionary,) = load_saes(str(sae_folder(architecture="standard")), dtype="float64").values()
    clean, corrupted = far_apart(32, 11, torch.float64)
    rows = []
    for pos in range(2, 11):
        code, other = (
            dictionary.encode(clean[pos : pos + 1]),
            dictionary.encode(corrupted[pos][None]),
        )
        delta, left = (code.features - other.features)[0], clean[pos] - corrupted[pos]
        steps = {int(f): delta[f] * dictionary.W_dec[f] for f in delta.nonzero()[:, 0]}
        left = left - sum(steps.values(), torch.zeros(32, dtype=torch.float64))
        rows += [(pos, f, delta[f], step, corrupted[pos].norm()) for f, step in steps.items()]
        if left.norm() > 0:
            rows.append((pos, dictionary.remainder, left.norm(), left, corrupted[pos].norm()))
    found = pair_steps(dictionary, Seen(clean, clean), Seen(corrupted, corrupted), 2)
    pos, feature, delta, vector, length = zip(*rows, strict=True)
    assert found.pos.tolist() == list(pos)
    assert found.feature.tolist() == list(feature)
    vectors = torch.stack(vector)
    torch.testing.assert_close(found.delta, torch.stack(delta))
    torch.testing.assert_close(found.vector, vectors)
    torch.testing.assert_close(found.relative, vectors.norm(dim=-1) / torch.stack(length))


def test_the_steps_of_some_units_are_rows_of_all(paired_run, model):
    nodes = PairedRun(model, whole_nodes(model), paired_run.pairs, paired_run.metric)
    for run in (paired_run, nodes):
        for steps in run.steps(0):
            units = len(steps.pos)
            draw = torch.Generator().manual_seed(0)
            for rows in (
                torch.randint(0, units, (9,), generator=draw),
                torch.tensor([units - 1, 0]),
                torch.zeros(0, dtype=torch.int64),
            ):
                assert torch.equal(steps.vectors(rows), steps.vector[rows])


def test_the_steps_of_some_units_do_not_build_the_others():
    from relp_sae.records import Site
    from relp_sae.run import PairSteps

    units, d_model = 4000, 512
    steps = PairSteps(
        Site(0, "resid_pre"),
        pos=torch.zeros(units, dtype=torch.int64),
        feature=torch.arange(units) - 1,
        delta=torch.ones(units),
        relative=torch.ones(units),
        remainders=torch.ones(1, d_model),
        W_dec=torch.ones(units, d_model),
    )
    made = []

    class Sizes(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor) and out.data_ptr() != steps.W_dec.data_ptr():
                made.append(out.nbytes)
            return out

    with Sizes():
        assert steps.vectors(torch.tensor([0, 7])).shape == (2, d_model)
    assert max(made) <= units * 8  # one number a unit, no vector


@torch.no_grad()
def test_the_reconstruction_by_chunks(paired_run, monkeypatch):
    (dictionary,) = paired_run.dictionaries.values()
    x = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(0))
    expected = dictionary.decode(dictionary.encode(x))
    monkeypatch.setattr(dictionary_file, "FEATURE_BYTES", 3 * 64 * 4)
    torch.testing.assert_close(reconstruction(dictionary, x), expected)


def test_quality_by_chunks_is_the_formula_over_all_positions(model64, make_run, monkeypatch):
    run = make_run(model64, "resid_mid.1")
    (site,), (dictionary,) = run.sites, run.dictionaries.values()
    x = [
        side[site][pair.first_change :].numpy()
        for pair, seen in zip(run.pairs, run.activations, strict=True)
        for side in (seen.clean, seen.corrupted)
    ]
    x = np.concatenate(x)
    code = dictionary.encode(torch.from_numpy(x))
    features = code.features.numpy()
    error = x - features @ dictionary.W_dec.numpy() - code.offset.numpy()
    fvu = np.square(error).sum() / np.square(x - x.mean(0)).sum()
    monkeypatch.setattr(dictionary_file, "FEATURE_BYTES", 2 * 64 * 8)
    quality = sae_quality(run, site)
    assert quality.l0 == pytest.approx((features != 0).sum(1).mean(), rel=1e-12)
    assert quality.explained_variance == pytest.approx(1 - fvu, rel=1e-9)
    at_once = sae_quality(dataclasses.replace(run), site)
    assert quality.spliced_clean_metric == pytest.approx(at_once.spliced_clean_metric, rel=1e-9)
