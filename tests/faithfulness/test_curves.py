"""Areas of circuit curves whose F is known."""

import numpy as np
import pandas as pd
import pytest

from relp_sae.faithfulness import curve_areas


def frame(gains, site="resid_pre.1", none=-2.0):
    """One ranking: ``gains`` holds each pair's ks and m(top k) - m(none) at them."""
    rows = []
    for pair, (ks, gain) in enumerate(gains):
        for k, value in zip(ks, gain, strict=True):
            rows.append(
                {"pair": pair, "site": site, "ranking": "relp@clean", "order": "size"}
                | {"direction": "sufficiency", "k": k, "units": ks[-1], "metric": none + value}
                | {"metric_none": none, "metric_all": none + gain[-1], "clean": none + gain[-1]}
            )
    return pd.DataFrame(rows)


KS = [0, 1, 2, 4, 8, 16]


def test_a_curve_in_proportion_to_k():
    """F = k / n: CPR and CMD are triangles, and the area over log k is (1 - 1/n) / ln n."""
    (found,) = curve_areas(frame([(KS, [k / 2 for k in KS])] * 3), bootstrap=100)
    assert (found.ranking, found.order, found.direction) == ("relp@clean", "size", "sufficiency")
    assert found.cpr.value == pytest.approx(0.5, abs=1e-4)
    assert found.cmd.value == pytest.approx(0.5, abs=1e-4)
    # Between the measured k the curve is straight over log k.
    corners = [k / 16 for k in KS[1:]]
    assert found.area.value == pytest.approx(np.trapezoid(corners, dx=1 / 4), abs=1e-3)
    assert found.area.low == pytest.approx(found.area.value)  # equal pairs: nothing to resample


def test_a_perfect_curve_has_one_one_and_nearly_none():
    (found,) = curve_areas(frame([(KS, [0, 3, 3, 3, 3, 3])] * 2), bootstrap=100)
    assert found.area.value == pytest.approx(1)
    assert found.cpr.value == pytest.approx(1 - 1 / 32, abs=1e-3)  # one unit of 16 is needed
    assert found.cmd.value == pytest.approx(1 / 32, abs=1e-3)


def test_what_overshoots_gains_in_cpr_and_loses_in_cmd():
    (found,) = curve_areas(frame([(KS, [0, 6, 6, 6, 6, 3])] * 2), bootstrap=100)
    assert found.cpr.value > 1.3
    assert found.cmd.value > 0.6


def test_f_is_a_ratio_of_means_not_a_mean_of_ratios():
    """A pair whose whole effect is small counts as little as its effect."""
    large, small = [0, 8, 8, 8, 8, 8], [0, 0, 0, 0, 0, 0.1]
    (found,) = curve_areas(frame([(KS, large), (KS, small)]), bootstrap=100)
    expected = (8 * 1 + 0.1 * 0) / 8.1
    assert found.area.value == pytest.approx(expected, abs=0.01)
    assert found.area.low < expected < found.area.high + 1e-9


def test_pairs_of_other_sizes_meet_at_equal_shares():
    few, many = [0, 1, 2, 4], [0, 1, 2, 4, 8, 16, 32, 64]
    both = frame([(few, [k / 4 for k in few]), (many, [k / 64 for k in many])])
    (found,) = curve_areas(both, bootstrap=100)
    assert found.cpr.value == pytest.approx(0.5, abs=1e-4)


def test_no_effect_has_a_reason():
    (found,) = curve_areas(frame([(KS, [0, 1, 0, 0, 0, 0.0])] * 2), bootstrap=100)
    for one in (found.area, found.cpr, found.cmd):
        assert np.isnan(one.value)
        assert one.note == "the units together have no effect"
    cancelling = frame([(KS, [0, 1, 1, 1, 1, 1.0]), (KS, [0, -1, -1, -1, -1, -1.0])])
    assert np.isnan(curve_areas(cancelling, bootstrap=100)[0].area.value)


def test_sites_without_units_are_left_out():
    nothing = frame([([0], [0.0])], site="attn_out.2")
    nothing["units"] = 0
    whole = pd.concat([frame([(KS, KS)] * 2), nothing])
    assert [one.site for one in curve_areas(whole, bootstrap=100)] == ["resid_pre.1"]


def test_a_single_unit_is_all_of_them():
    (found,) = curve_areas(frame([([0, 1], [0, 2.0])] * 2), bootstrap=100)
    assert found.area.value == pytest.approx(1)
    assert found.cpr.value == pytest.approx(0.5, abs=1e-4)
