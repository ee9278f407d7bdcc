"""What is drawn stands where the numbers are."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.axes import Axes

from relp_sae.records import Agreement, FeatureScores
from relp_sae.report import style
from relp_sae.report.bars import agreement_figure
from relp_sae.report.scatter import scatter_figure
from relp_sae.report.tables import headline


def shown_axes(truth: FeatureScores, estimates: list[FeatureScores]) -> list[Axes]:
    titles = {one.label: "Pearson" for one in estimates}
    return [axes for axes in scatter_figure(truth, estimates, titles).axes if axes.axison]


def test_every_unit_is_drawn_at_its_truth_and_estimate(scores: list[FeatureScores]) -> None:
    truth, estimate = scores[0], scores[2]
    for axes in shown_axes(truth, [estimate]):
        features, errors = axes.collections
        for drawn, chosen in (
            (features, ~truth.units.is_error),
            (errors, truth.units.is_error),
        ):
            points = np.stack([truth.score[chosen], estimate.score[chosen]], axis=1)
            np.testing.assert_array_equal(np.asarray(drawn.get_offsets()), points)


def test_one_panel_holds_all_units_and_one_the_middle(scores: list[FeatureScores]) -> None:
    truth, estimate = scores[0], scores[4]
    whole, middle = shown_axes(truth, [estimate])

    def inside(axes: Axes) -> float:
        (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
        x, y = truth.score, estimate.score
        return float(np.mean((left < x) & (x < right) & (low < y) & (y < high)))

    assert inside(whole) == 1.0
    assert 0.88 < inside(middle) < 0.96
    assert np.ptp(middle.get_xlim()) < 0.3 * np.ptp(whole.get_xlim())


@pytest.mark.parametrize("number", [1, 4, 5, 9])
def test_every_estimate_has_its_two_panels(scores: list[FeatureScores], number: int) -> None:
    estimates = [replace(scores[2], name=f"method-{i}") for i in range(number)]
    axes = shown_axes(scores[0], estimates)
    assert len(axes) == 2 * number
    titles = {one.get_title().partition("\n")[0] for one in axes} - {""}
    assert titles == {one.label for one in estimates}


def test_scores_that_are_all_zero_can_be_drawn(scores: list[FeatureScores]) -> None:
    zero = np.zeros_like(scores[0].score)
    truth, estimate = (replace(one, score=zero) for one in (scores[0], scores[2]))
    assert all(np.ptp(axes.get_xlim()) > 0 for axes in shown_axes(truth, [estimate]))


def test_bars_are_as_long_as_the_means(agreements: list[Agreement]) -> None:
    ranks = {truth: headline(agreements, truth, "pearson") for truth in ("denoise", "noise")}
    for axes, ranking in zip(agreement_figure(ranks).axes, ranks.values(), strict=True):
        widths = [bar.get_width() for bar in axes.patches]  # pyright: ignore
        assert widths == [one.mean.value for one in ranking]
        ends = [tuple(np.asarray(line.get_xdata(), float)) for line in axes.lines[1:]]
        assert ends == [(one.mean.low, one.mean.high) for one in ranking]


def test_methods_keep_their_colours_and_baselines_are_grey() -> None:
    few = style.colours(["relp"])
    many = style.colours(["relp", "relp:4", "new", "random:3", "newer"])
    assert few["relp"] == many["relp"] == many["relp:4"]
    assert many["random:3"] == style.QUIET
    assert len({many[name] for name in ("relp", "new", "newer")}) == 3
