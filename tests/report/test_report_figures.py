"""What is drawn stands where the numbers are."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.axes import Axes

from relp_sae.records import Agreement, FeatureScores
from relp_sae.report import style
from relp_sae.report.bars import Panel, agreement_figure
from relp_sae.report.contents import Truth
from relp_sae.report.scatter import scatter_figure
from relp_sae.report.tables import headline

SITES = ("resid_post.1", "resid_post.2")


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
    truths, parts = (Truth("denoise", "corrupted"), Truth("noise", "clean")), SITES
    grid = [
        [Panel(t.name, part, headline(agreements, t, "pearson", part), 0.9) for t in truths]
        for part in parts
    ]
    panels = [panel for row in grid for panel in row]
    for axes, panel in zip(agreement_figure(grid).axes, panels, strict=True):
        assert axes.get_title(loc="left") == f"{panel.truth}, {panel.part}"
        widths = [bar.get_width() for bar in axes.patches]  # pyright: ignore
        assert widths == [one.mean.value for one in panel.ranking]
        ends = [tuple(np.asarray(line.get_xdata(), float)) for line in axes.lines[1:]]
        assert ends == [*((one.mean.low, one.mean.high) for one in panel.ranking), (0.9, 0.9)]


def test_methods_keep_their_colours_and_baselines_are_grey() -> None:
    few = style.colours(["relp"])
    many = style.colours(["relp", "secant", "secant:2", "secant:4", "new", "random:3", "newer"])
    assert few["relp"] == many["relp"]
    assert many["random:3"] == style.QUIET
    names = ("relp", "new", "newer", "secant", "secant:2", "secant:4")
    assert len({many[name] for name in names}) == len(names)
    assert style.colours(["secant:2"])["secant:2"] == many["secant:2"]


def test_lines_of_equal_colour_differ_in_their_dashes() -> None:
    baselines = ("random", "delta-norm", "direct")
    assert len({style.dashes(name) for name in baselines}) == 3
    assert style.dashes("secant") != style.dashes("secant:2")
    assert style.marker("secant:2") == style.marker("secant") != style.marker("relp")
