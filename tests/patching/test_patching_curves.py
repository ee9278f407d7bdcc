"""Circuit curves: their ends, their sets, and each metric against full forward passes."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from relp_sae.errors import InputError
from relp_sae.patching import circuit_curves, engines, patch
from relp_sae.patching.curves import grid, pair_curves, top_sets
from relp_sae.patching.sets import UnitSets
from relp_sae.records import Site
from relp_sae.saes.whole_node import whole_nodes

CURVE = ["site", "ranking", "order", "direction"]


def rankings_of(run, pair, *labels):
    draw = np.random.default_rng(7)
    return {label: draw.normal(size=len(run.units_of(pair))) for label in labels}


def curves_of(run, pair, rankings, engine=None):
    return pair_curves(run, pair, rankings, engine or engines["packed"]())


def share(frame):
    """F(k), as a statistician computes it."""
    return (frame.metric - frame.metric_none) / (frame.metric_all - frame.metric_none)


@pytest.mark.parametrize(
    ("units", "ks"),
    [(0, [0]), (1, [0, 1]), (2, [0, 1, 2]), (3, [0, 1, 2, 3]), (8, [0, 1, 2, 4, 8])],
)
def test_the_grid_is_none_the_powers_of_two_and_all(units, ks):
    assert grid(units).tolist() == ks


def test_the_grid_of_many_units():
    assert grid(293).tolist() == [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 293]


def test_top_sets_by_sign_and_by_size_with_ties_in_the_order_of_the_units():
    scores = np.array([0.5, -3.0, 0.5, 2.0, -0.5, 0.0])
    ks = np.arange(7)
    added = {
        "signed": [3, 0, 2, 5, 4, 1],
        "size": [1, 3, 0, 2, 4, 5],
    }
    for order, expected in added.items():
        sets = top_sets(scores, order, ks)
        assert sets.sum(1).tolist() == ks.tolist()
        assert [np.flatnonzero(b & ~a).tolist() for a, b in pairwise(sets)] == [
            [unit] for unit in expected
        ]


def test_one_row_for_each_point(tiny_run):
    run = tiny_run("gpt2", Site(1, "resid_pre"), Site(2, "mlp_out"))
    frame = curves_of(run, 1, rankings_of(run, 1, "relp@corrupted", "denoise"))
    assert frame.columns.tolist() == [
        *("pair", "site", "ranking", "order", "direction", "k", "units", "metric"),
        *("metric_none", "metric_all", "clean"),
    ]
    assert (frame.pair == 1).all()
    assert not frame.duplicated([*CURVE, "k"]).any()
    assert frame.groupby(CURVE).ngroups == 2 * 2 * 2 * 2
    for (site, *_), part in frame.groupby(CURVE):
        here = (run.units.pair == 1) & (run.units.site == site)
        assert part.k.tolist() == grid(int(here.sum())).tolist()
        assert (part.units == here.sum()).all()
    assert frame.dtypes[["metric", "metric_none", "metric_all", "clean"]].eq("float64").all()
    assert frame.dtypes[["pair", "k", "units"]].eq("int64").all()


def test_the_ends_are_the_two_runs(tiny_run, family):
    run = tiny_run(family, Site(1, "resid_mid"))
    for pair in run.kept:
        seen = run.activations[pair]
        frame = curves_of(run, pair, rankings_of(run, pair, "any"))
        ends = {"sufficiency": (seen.corrupted_metric, seen.clean_metric)}
        ends["necessity"] = ends["sufficiency"][::-1]
        for direction, (none, whole) in ends.items():
            part = frame[frame.direction == direction]
            np.testing.assert_allclose(part.metric_none, none, rtol=0, atol=1e-4)
            np.testing.assert_allclose(part.metric_all, whole, rtol=0, atol=1e-4)
            assert (part.clean == seen.clean_metric).all()
            assert (share(part[part.k == 0]) == 0).all()
            assert (share(part[part.k == part.units]) == 1).all()


@pytest.mark.parametrize("site", ["resid_pre.1", "attn_out.2"])
def test_every_metric_is_that_of_a_spliced_full_forward(tiny_run, spliced_metric, site):
    site = Site.parse(site)
    run = tiny_run("gpt2", site, dtype="float64", pairs=((5, (3,)), (4, (1, 3))))
    for pair in run.kept:
        rankings = rankings_of(run, pair, "any")
        frame = curves_of(run, pair, rankings)
        for (order, direction), part in frame.groupby(["order", "direction"]):
            key = rankings["any"] if order == "signed" else np.abs(rankings["any"])
            best = np.argsort(-key)
            members = np.array([np.isin(np.arange(len(key)), best[:k]) for k in part.k])
            from_clean = direction == "necessity"
            expected = spliced_metric(run, pair, site, members, from_clean=from_clean)
            np.testing.assert_allclose(part.metric, expected, rtol=0, atol=1e-9)


def test_necessity_is_the_mirror_of_sufficiency_on_the_stream(tiny_run):
    """There the clean run with some units corrupted is the corrupted run with the others clean."""
    run = tiny_run("gpt2", Site(1, "resid_pre"), dtype="float64")
    for pair in run.kept:
        rankings = rankings_of(run, pair, "any")
        frame = curves_of(run, pair, rankings)
        part = frame[(frame.order == "signed") & (frame.direction == "necessity")]
        others = ~top_sets(rankings["any"], "signed", part.k.to_numpy())
        sets = UnitSets(run, pair, run.sites[0], engines["packed"]())
        np.testing.assert_allclose(part.metric, sets.metric(others), rtol=0, atol=1e-9)


def test_the_first_unit_has_its_single_effect(tiny_run):
    run = tiny_run("gpt2", Site(1, "mlp_out"), dtype="float64", pairs=((5, (3,)),))
    truths = {"sufficiency": patch(run, "denoise").score, "necessity": patch(run, "noise").score}
    for direction, effects in truths.items():
        frame = curves_of(run, 0, {"truth": effects})
        one = frame[(frame.direction == direction) & (frame.k == 1)].set_index("order")
        sign = 1 if direction == "sufficiency" else -1
        changed = sign * (one.metric - one.metric_none)
        assert changed["signed"] == pytest.approx(effects.max(), abs=1e-10)
        assert changed["size"] == pytest.approx(effects[np.abs(effects).argmax()], abs=1e-10)


def test_equal_rankings_cost_nothing_more(tiny_run, counting_engine):
    run = tiny_run("gpt2", Site(1, "resid_pre"))
    score = np.arange(len(run.units_of(0)), dtype=float)  # both orders are one
    rankings = {"one": score, "two": 2 * score, "three": score**2}
    frame = curves_of(run, 0, rankings, counting_engine)
    assert counting_engine.runs == 2 * len(grid(len(score)))
    for _, part in frame.groupby(["direction", "k"]):
        assert part.metric.nunique() == 1


def test_one_unit(tiny_run):
    run = tiny_run("llama", Site(1, "resid_pre"), pairs=((4, (3,)),))
    run = replace(run, dictionaries={run.sites[0]: whole_nodes(run.model)[run.sites[0]]})
    frame = curves_of(run, 0, {"any": np.array([-2.0])})
    assert (frame.units == 1).all()
    assert sorted(set(frame.k)) == [0, 1]
    assert share(frame).tolist() == [0, 1] * 4


def test_the_size_of_packs_does_not_matter(tiny_run, packs_of):
    run = tiny_run("gpt2", Site(1, "resid_pre"), dtype="float64")
    rankings = rankings_of(run, 1, "a", "b")
    one, many = (curves_of(run, 1, rankings, packs_of(size)) for size in (1, 1000))
    pd.testing.assert_frame_equal(one, many, rtol=0, atol=1e-12)


def test_the_model_is_left_as_it_was(tiny_run, state_of, family):
    run = tiny_run(family, Site(0, "resid_mid"), Site(2, "attn_out"))
    before = state_of(run.model)
    curves_of(run, 0, rankings_of(run, 0, "any"))
    assert state_of(run.model) == before


def test_rankings_of_other_units_are_refused(tiny_run):
    run = tiny_run("gpt2", Site(1, "resid_pre"))
    with pytest.raises(ValueError, match="relp has 3 scores for"):
        curves_of(run, 0, {"relp": np.zeros(3)})


def test_curves_of_scores_begin_with_the_effect_of_their_strongest_unit(tiny_run):
    """Moving the one unit of the largest |effect| is that unit's measured effect, in each pair."""
    run = tiny_run("gpt2", Site(1, "resid_pre"))
    measured = patch(run, "denoise")
    curves = circuit_curves(run, [measured])
    assert curves.pair.unique().tolist() == run.kept
    asked = (curves.order == "size") & (curves.direction == "sufficiency") & (curves.k == 1)
    first = curves[asked]
    strongest = [max(measured.score[measured.units.pair == pair], key=abs) for pair in run.kept]
    np.testing.assert_allclose(first.metric - first.metric_none, strongest, atol=1e-5)


def test_curves_need_scores_of_the_run(tiny_run):
    run = tiny_run("gpt2", Site(1, "resid_pre"))
    other = patch(run, "denoise").chosen(np.arange(2))
    for scores, got in (([], "none"), ([other], "other units in denoise")):
        with pytest.raises(InputError, match=f"got {got}"):
            circuit_curves(run, scores)
