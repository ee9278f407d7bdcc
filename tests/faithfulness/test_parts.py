"""The parts of a run: which there are, and that every part is the run of its units alone."""

from dataclasses import replace

import numpy as np
import pytest

from relp_sae.faithfulness import ceilings, compare, parts
from relp_sae.faithfulness.agreement import TOO_COSTLY
from relp_sae.records import EVERYWHERE, WHOLE_NODE, FeatureScores, Units


def units(sites: list[str], feature: int = 0) -> Units:
    n = len(sites)
    return Units(
        pair=np.zeros(n, int),
        site=np.array(sites, dtype=str),
        pos=np.arange(n),
        feature=np.full(n, feature),
        delta=np.ones(n),
        relative_step=np.ones(n),
    )


def test_features_are_parted_by_site_in_the_order_of_layers():
    found = parts(units(["resid_pre.15", "resid_pre.2", "resid_pre.2", "mlp_out.2"]))
    assert {name: mask.tolist() for name, mask in found.items()} == {
        EVERYWHERE: [True] * 4,
        "mlp_out.2": [False, False, False, True],
        "resid_pre.2": [False, True, True, False],
        "resid_pre.15": [True, False, False, False],
    }
    assert list(found) == [EVERYWHERE, "mlp_out.2", "resid_pre.2", "resid_pre.15"]


def test_whole_nodes_are_parted_by_kind_of_site():
    found = parts(units(["resid_pre.15", "mlp_out.1", "resid_pre.2"], WHOLE_NODE))
    assert list(found) == [EVERYWHERE, "mlp_out", "resid_pre"]
    assert found["resid_pre"].tolist() == [True, False, True]


@pytest.mark.parametrize("feature", [0, WHOLE_NODE])
@pytest.mark.parametrize("sites", [[], ["resid_pre.2"] * 3])
def test_a_run_of_one_part_has_no_other(sites, feature):
    assert list(parts(units(sites, feature))) == [EVERYWHERE]


def test_nodes_of_one_kind_are_one_part():
    assert list(parts(units(["resid_pre.1", "resid_pre.2"], WHOLE_NODE))) == [EVERYWHERE]


def on_two_sites(scores: FeatureScores) -> FeatureScores:
    """Pairs 1 and 5 have no unit at the second site."""
    odd = (scores.units.feature % 2 == 1) & ~np.isin(scores.units.pair, [1, 5])
    site = np.where(odd, "resid_pre.15", "resid_pre.2")
    return replace(scores, units=replace(scores.units, site=site))


def test_agreement_in_a_part_is_that_of_its_units(study):
    estimate, truth = on_two_sites(study["relp"]), on_two_sites(study["denoise"])
    agreements = compare(estimate, truth, bootstrap=100)
    names = list(dict.fromkeys(one.part for one in agreements))
    assert names == [EVERYWHERE, "resid_pre.2", "resid_pre.15"]
    rows = estimate.units.site == "resid_pre.15"
    alone = {one.measure: one for one in compare(estimate.chosen(rows), truth.chosen(rows))}
    for one in agreements:
        if one.part == "resid_pre.15":
            assert len(one.per_pair) == 8
            values = np.delete(one.per_pair, [1, 5])
            assert values == pytest.approx(alone[one.measure].per_pair, nan_ok=True)
            assert one.pooled.value == pytest.approx(alone[one.measure].pooled.value, nan_ok=True)
            assert "of 8 pairs left out" in one.mean.note
            made_of_moments = one.measure in ("pearson", "slope", "r2", "lin-concordance")
            assert not made_of_moments or np.isfinite(one.pooled.low)
            assert np.isfinite(one.pooled.low) or one.pooled.note == TOO_COSTLY


def test_ceilings_are_given_for_every_part(study):
    found = ceilings([on_two_sites(one) for one in study.values()], bootstrap=100)
    assert [(one.truth, one.part) for one in found] == [
        ("denoise", EVERYWHERE),
        ("denoise", "resid_pre.2"),
        ("denoise", "resid_pre.15"),
    ]
