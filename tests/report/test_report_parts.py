"""Reports of runs that have everything: parts, three truths, ceilings, curves, regimes, costs."""

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.image import imread

from relp_sae.records import (
    EVERYWHERE,
    Certificate,
    CurveArea,
    Interval,
    Manifest,
    Recall,
    RegimePoint,
    RunFolder,
)
from relp_sae.records.manifest import Completeness, Stage
from relp_sae.report import (
    certificate_tables,
    costs,
    curves,
    regime_tables,
    regimes,
    tables,
    write_report,
)
from relp_sae.report.certificates import certificate_table
from relp_sae.report.contents import Records, Truth
from relp_sae.report.contrasts import dependent_table, wide_contrast_table
from relp_sae.report.curve_figure import curve_figure
from relp_sae.report.curve_lines import curve_grid, gain
from relp_sae.report.regime_figure import regime_figure
from relp_sae.report.sections import sections
from relp_sae.report.wording import UNITS

NOTHING = Interval(math.nan, math.nan, math.nan, "constant estimate")
SHAPLEY = Truth("shapley", "both")
DENOISE = Truth("denoise", "corrupted")


def shown(one: Interval, digits: int = 3) -> str:
    return f"{one.value:.{digits}f} [{one.low:.{digits}f}, {one.high:.{digits}f}]"


def text_of(folder: RunFolder) -> str:
    return (folder.path / "report.md").read_text(encoding="utf-8")


def test_nodes_are_headlined_by_kind_with_pearson_and_slope(node_records: Records) -> None:
    table = tables.headline_table(node_records, DENOISE)
    assert table.header == ("at", "estimate", "Pearson", "slope", "Spearman", "sign agreement")
    assert [row[0] for row in table.rows if row[0]] == ["attn_out", "mlp_out", "resid_pre"]
    relp = [row for row in table.rows if row[1] == "relp@corrupted"]
    found = {
        (one.part, one.measure): one.mean
        for one in node_records.findings.agreements
        if (one.estimate, one.base, one.truth) == ("relp", "corrupted", "denoise")
    }
    for row, part in zip(relp, ("attn_out", "mlp_out", "resid_pre"), strict=True):
        assert row[2:4] == (shown(found[part, "pearson"]), shown(found[part, "slope"]))


def test_a_slope_is_left_empty_for_baselines_of_another_unit(node_records: Records) -> None:
    rows = tables.headline_table(node_records, DENOISE).rows
    slopes = {row[1]: row[3] for row in rows}
    assert slopes["delta-norm"] == slopes["random"] == "-"
    assert slopes["direct"] != "-"


def test_features_of_several_sites_are_headlined_by_site(feature_records: Records) -> None:
    table = tables.headline_table(feature_records, DENOISE)
    assert [row[0] for row in table.rows if row[0]] == [EVERYWHERE, "resid_pre.2", "resid_pre.15"]
    assert "slope" not in table.header
    assert tables.site_tables(feature_records, DENOISE) == []


def test_many_sites_stand_in_a_folded_table(feature_records: Records) -> None:
    found = feature_records.findings
    more = tuple(
        replace(one, part=f"resid_pre.{layer}")
        for layer in range(20, 23)
        for one in found.agreements
        if one.part == "resid_pre.2"
    )
    many = replace(feature_records, findings=replace(found, agreements=(*found.agreements, *more)))
    assert tables.headline_table(many, DENOISE).header[0] == "estimate"
    [table] = tables.site_tables(many, DENOISE)
    assert len({row[0] for row in table.rows if row[0]}) == 5
    assert [one.folded for one in sections(many, []) if one.title == "Agreement site by site"] == [
        True
    ]


def test_shapley_shows_estimates_of_every_base_below_its_ceiling(node_records: Records) -> None:
    table = tables.headline_table(node_records, SHAPLEY)
    names = {row[1] for row in table.rows}
    assert {"relp@clean", "relp@corrupted", "relp-mean", "secant:2"} <= names
    last = [row for row in table.rows if row[1] == "sampling ceiling"]
    found = [node_records.ceiling("shapley", part) for part in node_records.main_parts]
    assert [row[2] for row in last] == [shown(one.sampling) for one in found if one is not None]
    assert all(row[3:] == ("-", "-", "-") for row in last)
    exact = tables.headline_table(node_records, DENOISE)
    assert "sampling ceiling" not in {row[1] for row in exact.rows}


def test_ceilings_of_every_truth_stand_in_one_table(feature_records: Records) -> None:
    table = tables.ceiling_table(feature_records)
    assert len(table.rows) == 3 * 3
    assert {row[2] for row in table.rows if row[0] != "shapley"} == {"1 (exact)"}
    first = feature_records.findings.ceilings[0]
    assert table.rows[0] == ("denoise", EVERYWHERE, "1 (exact)", shown(first.split_half))


def test_contrasts_show_both_intervals_and_both_tests(feature_records: Records) -> None:
    found = feature_records.findings.contrasts
    table = wide_contrast_table(found, UNITS["features"])
    one = found[0]
    assert table.rows[0][3:] == (
        "6",
        shown(one.difference),
        shown(one.generalising),
        "0.030",
        "<0.001",
        "0.031",
    )
    assert table.header[5] == "[new prompts and features]"


def test_textbook_tests_are_folded_and_warned_of(feature_records: Records) -> None:
    [section] = [one for one in sections(feature_records, []) if "Textbook" in one.title]
    assert section.folded
    assert "reject true nulls far too often (docs/results/nulls)" in str(section.blocks[0])
    table = dependent_table(feature_records.findings.contrasts[0].descriptive)
    assert table.rows == (
        ("Williams", "3.210", "0.001", "-"),
        ("Hittner", "undefined¹", "-", "-"),
        ("Zou", "-", "-", "[0.100, 0.200]"),
    )
    assert table.notes == ("¹ the formula gives its two Z 3.47",)


def test_costs_are_counted_and_compared_with_the_gradient(feature_records: Records) -> None:
    rows = {row[0]: row[1:] for row in costs.cost_table(feature_records).rows}
    stages = feature_records.manifest.stages
    assert rows["gradient@corrupted"] == ("1", "1", "1.00", "1.00")
    secant = stages["secant"]
    assert rows["secant"][:2] == (str(secant.forwards), str(secant.backwards))
    assert rows["secant"][3] == f"{secant.seconds / 1.0:.2f}"
    truths = {one.name: len(one.units) for one in feature_records.measured}
    [first, *_] = costs.truth_cost_table(truths, feature_records).rows
    assert first == ("denoise", "120", "60.0", "2.0")


def test_costs_without_gradient_or_time_divide_by_nothing(feature_records: Records) -> None:
    bare = {"secant": Stage(status="done"), "denoise": Stage(status="done")}
    manifest = feature_records.manifest.model_copy(update={"stages": bare})
    records = replace(feature_records, manifest=manifest)
    assert costs.cost_table(records).rows == (("secant", "-", "-", "0.00", "-"),)
    assert costs.truth_cost_table({"denoise": 9}, records).rows[0][3] == "-"


def test_completeness_is_by_site_or_summed_up(node_records: Records) -> None:
    table = costs.completeness_table(node_records.manifest.completeness)
    assert table.rows == (
        ("secant", "12 sites", "3e-07", "6e-07"),
        ("relp-mean", "12 sites", "21.0 %", "42.0 %"),
    )
    few = {"secant": {"resid_pre.3": Completeness(largest=0.05, median=0.0)}}
    assert costs.completeness_table(few).rows == (("secant", "resid_pre.3", "0", "5.0 %"),)


def point(estimate: str, level: str, at: float, pearson: Interval) -> RegimePoint:
    slope = Interval(1.0, 0.9, 1.1)
    return RegimePoint("scale", level, at, estimate, "both", "denoise", pearson, slope, 7)


def test_a_regime_names_who_wins_where() -> None:
    high, low = Interval(0.9, 0.85, 0.95), Interval(0.5, 0.4, 0.6)
    close, nan = Interval(0.88, 0.8, 0.93), Interval(math.nan, math.nan, math.nan, "no units")
    points = [
        point("a", "10", 10.0, low), point("b", "10", 10.0, high),
        point("a", "1", 1.0, high), point("b", "1", 1.0, close),
        point("a", "2", 2.0, high), point("b", "2", 2.0, low),
        point("a", "20", 20.0, nan), point("b", "20", 20.0, nan),
    ]  # fmt: skip
    table = regimes.regime_table(points, "scale")
    assert [row[:3] for row in table.rows] == [
        ("1", "a", "7"),
        ("2", "a (clear)", "7"),
        ("10", "b (clear)", "7"),
        ("20", "-", "7"),
    ]
    assert table.rows[0][3:] == (shown(high, 2), shown(close, 2))
    assert table.rows[3][3:] == ("undefined¹", "undefined¹")
    assert regimes.regime_sentence(points, "scale") == (
        "By **scale**, the one that agrees best is `a` at 1 ... 2, `b` at 10 and none at 20."
    )
    short = regimes.short_regime_table(points, "scale")
    assert short.rows == (
        ("a", "0.90*", "0.90*", "0.50", "undefined"),
        ("b", "0.88", "0.50", "0.90*", "undefined"),
    )


def test_the_map_is_of_the_primary_truth_and_of_methods_made_for_it(
    feature_records: Records,
) -> None:
    points = regimes.map_points(feature_records)
    assert {one.base for one in points} == {"corrupted", "both"}
    assert not {"random", "direct", "delta-norm"} & {one.estimate for one in points}
    noise = tuple(replace(one, truth="noise") for one in feature_records.findings.regimes)
    other = replace(feature_records, findings=replace(feature_records.findings, regimes=noise))
    assert {one.base for one in regimes.map_points(other)} == {"clean", "both"}
    fair = tuple(replace(one, truth="shapley") for one in noise)
    other = replace(feature_records, findings=replace(feature_records.findings, regimes=fair))
    assert {one.base for one in regimes.map_points(other)} == {"corrupted", "both"}


def test_the_map_is_drawn_at_its_values(feature_records: Records) -> None:
    points = regimes.map_points(feature_records)
    axes = regime_figure(points).axes[1]
    assert axes.get_xscale() == "log"
    assert [tick.get_text() for tick in axes.get_xticklabels()] == [
        "0.1", "0.25", "0.5", "1", "2", "4"
    ]  # fmt: skip
    drawn = [
        tuple(np.asarray(line.get_ydata(), float))
        for line in axes.lines
        if line.get_marker() != "None"
    ]
    names = dict.fromkeys(one.estimate for one in points)
    assert drawn == [
        tuple(one.pearson.value for one in points if (one.regime, one.estimate) == ("scale", name))
        for name in names
    ]


def test_curve_tables_take_the_base_of_the_direction(feature_records: Records) -> None:
    [folded, *_] = [one for one in sections(feature_records, []) if one.title == "Circuit curves"]
    sufficiency, necessity = [one for one in folded.blocks if not isinstance(one, str)]
    for table, base, other in (
        (sufficiency, "corrupted", "clean"),
        (necessity, "clean", "corrupted"),
    ):
        names = {row[1] for row in table.rows}  # pyright: ignore
        assert f"relp@{base}" in names
        assert f"relp@{other}" not in names
        assert {"denoise", "noise", "shapley", "secant"} <= names
    first = sufficiency.rows[0]  # pyright: ignore
    area = next(
        one
        for one in feature_records.findings.curves
        if (one.site, one.ranking, one.order, one.direction)
        == (first[0], first[1], "size", "sufficiency")
    )
    assert first[2:] == (shown(area.area), shown(area.cpr), shown(area.cmd))


def test_undefined_areas_come_last_with_their_reason(feature_records: Records) -> None:
    nan = Interval(math.nan, math.nan, math.nan, "no effect to share")
    areas: list[CurveArea] = [
        replace(one, area=nan) if one.ranking == "secant" else one
        for one in feature_records.findings.curves
    ]
    own = [one for one in areas if (one.order, one.site) == ("size", "resid_pre.2")]
    table = curves.area_table(own, "sufficiency", ["resid_pre.2"])
    assert table.rows[-1][1:3] == ("secant", "undefined¹")
    assert table.notes == ("¹ no effect to share",)


def test_of_many_sites_a_few_are_shown() -> None:
    nothing = Interval(0.0, 0.0, 0.0)
    areas = [
        CurveArea(f"resid_pre.{i}", "relp", "size", "necessity", nothing, nothing, nothing)
        for i in range(30)
    ]
    assert curves.shown_sites(areas) == [f"resid_pre.{i}" for i in (0, 10, 19, 29)]


def test_curves_are_drawn_from_f_of_each_pair(
    feature_records: Records, many_parts: SimpleNamespace
) -> None:
    frame = many_parts.curve_table(pairs=1)
    asked = (frame["ranking"] == "secant") & (frame["order"] == "size")
    one = frame[asked & (frame["site"] == "resid_pre.2") & (frame["direction"] == "necessity")]
    some = one[one["k"] > 0]
    shares = (some["k"] / some["units"]).to_numpy()
    np.testing.assert_allclose(gain(one, shares), (some["metric"] + 3).to_numpy())
    grid = curve_grid(feature_records)
    assert [[panel.direction for panel in row] for row in grid] == [
        ["sufficiency", "necessity"]
    ] * 2
    figure = curve_figure(grid)
    for axes, panel in zip(figure.axes, (panel for row in grid for panel in row), strict=True):
        drawn = [line for line in axes.lines if len(np.asarray(line.get_xdata())) > 2]
        assert len(drawn) == len(panel.estimates) + len(panel.truths)
        for line, given in zip(drawn, [*panel.estimates, *panel.truths], strict=True):
            np.testing.assert_array_equal(np.asarray(line.get_ydata()), given.ends[0])


def test_many_layers_are_an_axis_for_each_kind_of_site(node_records: Records) -> None:
    points = regimes.map_points(node_records)
    axes = regimes.regimes_of(points)
    assert axes[-3:] == ["layer of resid_pre", "layer of attn_out", "layer of mlp_out"]
    assert regimes.levels_of(points, axes[-1]) == [str(layer) for layer in range(12)]
    short = regimes.short_regime_table(points, axes[-1])
    assert short.header == ("estimate", "0", "2", "3", "5", "6", "8", "9", "11")
    folded = [one for one in sections(node_records, []) if "Layer by layer" in one.title]
    assert [len(one.blocks) for one in folded] == [3]
    assert folded[0].folded


def test_where_the_lead_changes_often_wins_are_counted() -> None:
    high, low = Interval(0.9, 0.85, 0.95), Interval(0.5, 0.4, 0.6)
    points = [
        point(name, str(i), float(i), high if (name == "a") == (i % 2 == 0) else low)
        for i in range(11)
        for name in "ab"
    ]
    assert regimes.regime_sentence(points, "scale") == (
        "By **scale**, of 11 levels, the one that agrees best is `a` at 6 and `b` at 5."
    )


def test_certificates_are_shown_and_never_rounded_up(feature_records: Records) -> None:
    expected = Interval(0.9, 0.8, 0.95)
    recalls = (Recall(10, 0.999), Recall(30, 0.0))
    made = Certificate("relp", "clean", "noise", 5000, 64, expected, recalls)
    other = replace(made, base="both", recalls=(), pearson=NOTHING)
    table = certificate_table([made, other])
    assert table.header[4:] == ("of the true top 10", "of the true top 30")
    assert table.rows == (
        ("relp@clean", "noise", "64 of 5000", shown(expected), "99 %", "0 %"),
        ("relp", "noise", "64 of 5000", "undefined¹", "-", "-"),
    )
    with_one = replace(feature_records, certificates=(made,))
    titles = [section.title for section in sections(with_one, [])]
    assert "Certificates" in titles
    assert "Certificates" not in [section.title for section in sections(feature_records, [])]


def test_certificates_need_no_agreement(tmp_path: Path, run_manifest: Manifest) -> None:
    folder = RunFolder.create(tmp_path / "run", run_manifest)
    assert certificate_tables(folder) == []
    expected = Interval(0.9, 0.8, 0.95)
    folder.write_certificates([Certificate("relp", "clean", "noise", 50, 20, expected, ())])
    [table] = certificate_tables(folder)
    assert table.row_count == 1


def test_whole_reports_speak_of_their_units(whole_report: RunFolder) -> None:
    text = text_of(whole_report)
    if whole_report.read_manifest().config.units == "nodes":
        assert "gives every whole node a score" in text
        assert "RelP's own table (Jafari et al. 2025, arXiv 2508.21258)" in text
        assert "SAE" not in text.replace("RelP-SAE", "").replace("relp-sae", "")
        assert "| resid_pre | whole nodes |" in text
        assert "The seed's table" not in text
        assert "Circuit curves" not in text
    else:
        assert "gives every SAE feature a score" in text
        assert "The seed's table" in text
        assert "(figures/curves.png)" in text
    assert "(figures/regimes.png)" in text
    words = text.replace("|", " ").replace("[", " ").split()
    assert not {"nan", "nan,", "nan]", "NaN"} & set(words)


@pytest.mark.parametrize("whole_report", ["features"], indirect=True)
def test_whole_reports_are_written_the_same_twice(whole_report: RunFolder) -> None:
    files = [whole_report.path / "report.md", whole_report.path / "report.html"]
    files += sorted((whole_report.path / "figures").iterdir())
    before = [file.read_bytes() for file in files]
    write_report(whole_report)
    assert [file.read_bytes() for file in files] == before


def test_whole_figures_are_not_blank(whole_report: RunFolder) -> None:
    names = {path.stem for path in (whole_report.path / "figures").glob("*.png")}
    assert {"agreement", "regimes", "scatter-shapley"} <= names
    for name in names:
        pixels = imread(whole_report.path / "figures" / f"{name}.png")[..., :3]
        assert min(pixels.shape[:2]) > 300
        assert 0.005 < float(np.mean(pixels.min(axis=-1) < 0.9)) < 0.5


def test_the_terminal_has_a_table_for_each_axis(whole_report: RunFolder) -> None:
    nodes = whole_report.read_manifest().config.units == "nodes"
    assert len(regime_tables(whole_report)) == (6 if nodes else 4)
