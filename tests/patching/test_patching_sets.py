"""Runs with sets of units moved, against full forward passes with a spliced dictionary."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from relp_sae.errors import InputError
from relp_sae.models import load_model
from relp_sae.patching import engines, patch, truths
from relp_sae.patching.curves import pair_curves
from relp_sae.patching.sets import UnitSets, first_positions
from relp_sae.patching.sweep import scaled_effects, set_effects
from relp_sae.records import Site
from relp_sae.records.site import KINDS
from relp_sae.saes.whole_node import whole_nodes

ROUNDING = {"gpt2": 1e-9, "llama": 1e-4}
"""Allowed over the largest effect; Llama's norms are float32 in any dtype."""


def random_members(sets, count, seed=0):
    """The empty set, the full one, and ``count`` in between."""
    drawn = np.random.default_rng(seed).random((count, len(sets))) < 0.4
    ends = np.repeat([[False], [True]], len(sets), axis=1)
    return np.concatenate([ends, drawn])


def sets_of(run, pair=0, *, engine=None, from_clean=False):
    (site,) = run.sites
    return UnitSets(run, pair, site, engine or engines["packed"](), from_clean)


@pytest.mark.parametrize("from_clean", [False, True], ids=["sufficiency", "necessity"])
@pytest.mark.parametrize("kind", KINDS)
def test_equals_a_spliced_full_forward(tiny_run, spliced_metric, family, kind, from_clean):
    run = tiny_run(family, Site(1, kind), dtype="float64")
    for pair in run.kept:
        sets = sets_of(run, pair, from_clean=from_clean)
        members = random_members(sets, 5)
        expected = spliced_metric(run, pair, sets.site, members, from_clean=from_clean)
        largest = np.abs(expected - expected[0]).max()
        assert largest > 1e-3
        found = sets.metric(members)
        np.testing.assert_allclose(found, expected, rtol=0, atol=ROUNDING[family] * largest)


def test_equals_a_spliced_full_forward_with_whole_nodes(tiny_run, spliced_metric):
    run = tiny_run("gpt2", Site(1, "mlp_out"), dtype="float64")
    nodes = whole_nodes(run.model)
    run = replace(run, dictionaries={run.sites[0]: nodes[run.sites[0]]})
    sets = sets_of(run, pair=1)
    assert len(sets) == 8
    members = random_members(sets, 5)
    expected = spliced_metric(run, 1, sets.site, members)
    np.testing.assert_allclose(sets.metric(members), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", ["resid_pre", "resid_mid", "resid_post"])
def test_no_unit_is_the_one_run_and_all_units_of_the_stream_are_the_other(tiny_run, family, kind):
    run = tiny_run(family, Site(1, kind))
    for pair in run.kept:
        seen = run.activations[pair]
        ends = [seen.corrupted_metric, seen.clean_metric]
        for from_clean in (False, True):
            sets = sets_of(run, pair, from_clean=from_clean)
            found = sets.metric(random_members(sets, 0))
            np.testing.assert_allclose(found, ends[::-1] if from_clean else ends, atol=1e-4)


@pytest.mark.parametrize("truth", ["denoise", "noise"])
def test_sets_of_one_unit_are_the_single_effects(tiny_run, truth):
    run = tiny_run("gpt2", Site(1, "resid_mid"), dtype="float64")
    sets = sets_of(run, pair=1, from_clean=truth == "noise")
    values = sets.metric(np.concatenate([np.zeros((1, len(sets)), bool), np.eye(len(sets)) > 0]))
    effects = values[1:] - values[0] if truth == "denoise" else values[0] - values[1:]
    measured = patch(run, truth)
    single = measured.score[measured.units.pair == 1]
    np.testing.assert_allclose(effects, single, rtol=0, atol=1e-10 * np.abs(single).max())


def test_equal_sets_are_run_once_and_answered_in_order(tiny_run, counting_engine):
    run = tiny_run("gpt2", Site(1, "resid_pre"), dtype="float64")
    sets = sets_of(run, engine=counting_engine)
    distinct = random_members(sets, 4)
    order = [3, 0, 3, 5, 1, 0, 2, 4, 3]
    found = sets.metric(distinct[order])
    assert counting_engine.runs == 6
    np.testing.assert_allclose(found, sets.metric(distinct)[order], rtol=0, atol=1e-12)


def test_the_size_of_packs_does_not_matter(tiny_run, packs_of):
    run = tiny_run("gpt2", Site(0, "mlp_out"), dtype="float64")
    members = random_members(sets_of(run), 9)
    one, many = (sets_of(run, engine=packs_of(size)).metric(members) for size in (1, 1000))
    np.testing.assert_allclose(one, many, rtol=0, atol=1e-12)


def test_a_set_starts_at_its_first_unit():
    """Against the least position among its units, written out."""
    draw = np.random.default_rng(0)
    pos = np.sort(draw.integers(3, 20, 40))
    members = np.concatenate([random_members(pos, 200), draw.random((200, 40)) < 0.03])
    expected = [min([20, *pos[row].tolist()]) for row in members]
    assert len(set(expected)) > 10
    assert first_positions(members, pos, 20).tolist() == expected
    assert first_positions(np.zeros((3, 0), bool), pos[:0], 20).tolist() == [20, 20, 20]


class LargestTensor(TorchDispatchMode):
    """The bytes of the largest tensor that an operation made; what NumPy makes is not seen."""

    def __init__(self):
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor) and not func.is_view:
            self.bytes = max(self.bytes, out.nbytes)
        return out


class NoEngine:
    """Makes the steps of a few runs only, and finds nothing."""

    def changes(self, _run, interventions):
        for one in interventions:
            alike = (one.starts == one.starts[0]).nonzero()[:, 0]
            one.added(alike[:2])
        return [np.zeros(len(one.starts)) for one in interventions]


def test_members_of_sets_are_not_copied_at_a_larger_size(tiny_run):
    """What is made of them beside the packed members, an eighth of their size twice, is small."""
    run = tiny_run("gpt2", Site(1, "resid_pre"), pairs=((50, (1,)),))
    sets = sets_of(run, engine=NoEngine())
    members = random_members(sets, 6000)
    assert len(sets) > 400
    with LargestTensor() as largest:
        tracemalloc.start()
        try:
            sets.metric(members)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < members.nbytes / 2 + 300 * len(members)  # the table of sets, by row
    assert largest.bytes < members.nbytes / 8


def test_sets_of_other_units_are_refused(tiny_run):
    sets = sets_of(tiny_run("gpt2", Site(1, "resid_pre")))
    with pytest.raises(ValueError, match=f"3 units where resid_pre.1 has {len(sets)}"):
        sets.metric(np.zeros((2, 3), bool))


def test_bfloat16_is_refused(make_run, load_tiny):
    run = make_run(load_tiny("gpt2", "bfloat16"), "resid_pre.1")
    with pytest.raises(InputError, match="Use float32 or float64"):
        sets_of(run)
    with pytest.raises(InputError, match="Use float32 or float64"):
        scaled_effects(run, np.arange(1), (1.0,), engines["packed"]())


@pytest.fixture(scope="module")
def silent_site_run(save_tiny, tiny_run):
    """The attention of block 1 writes its bias whatever the prompt: attn_out.1 has no unit."""
    like = tiny_run("gpt2", Site(1, "attn_out"), Site(2, "resid_pre"))
    model = load_model(str(save_tiny("gpt2")))
    with torch.no_grad():
        model.in_block(1, "attn.c_proj").weight.zero_()
    run = replace(like, model=model)
    assert {str(site) for site in run.units.site} == {"resid_pre.2"}
    return run


@pytest.mark.parametrize("name", list(truths))
def test_a_site_without_units_has_no_effect(silent_site_run, name):
    measured = patch(silent_site_run, name, permutations=4)
    alone = replace(
        silent_site_run,
        dictionaries={Site(2, "resid_pre"): silent_site_run.dictionaries[Site(2, "resid_pre")]},
    )
    np.testing.assert_array_equal(measured.score, patch(alone, name, permutations=4).score)


def test_tables_of_a_site_without_units(silent_site_run):
    run, engine = silent_site_run, engines["packed"]()
    pair = run.kept[0]
    scores = {"any": np.arange(len(run.units_of(pair)), dtype=float)}
    curves = pair_curves(run, pair, scores, engine)
    here = curves[curves.site == "attn_out.1"]
    assert here.k.unique().tolist() == here.units.unique().tolist() == [0]
    drawn = set_effects(run, pair, scores, (1, 4, 0), 0, engine)
    here = drawn[drawn.site == "attn_out.1"]
    assert here["size"].tolist() == [0]
    assert here[["effect", "predicted"]].to_numpy().tolist() == [[0.0, 0.0]]
    assert curves.dtypes["k"] == drawn.dtypes["size"] == np.int64
