"""The tables hold the numbers of the records, in an order that can be read."""

import math
from dataclasses import replace

import numpy as np
import pytest

from relp_sae.faithfulness import measures, seed_table
from relp_sae.records import (
    EVERYWHERE,
    Agreement,
    Contrast,
    FeatureScores,
    Findings,
    Interval,
)
from relp_sae.records.manifest import Manifest
from relp_sae.report import setup_tables, tables
from relp_sae.report.contents import Records, Truth
from relp_sae.report.contrasts import contrast_table
from relp_sae.report.seed import seed_tables
from relp_sae.report.wording import UNITS, interval, number

DENOISE, NOISE = Truth("denoise", "corrupted"), Truth("noise", "clean")
MEASURES = UNITS["features"].measures
UNDEFINED = Interval(math.nan, math.nan, math.nan, "6 of 6 pairs left out: constant truth (6)")


def find(agreements: list[Agreement], estimate: str, truth: str, measure: str) -> Agreement:
    [one] = [
        one
        for one in agreements
        if (f"{one.estimate}@{one.base}", one.truth, one.measure) == (estimate, truth, measure)
        and one.part == EVERYWHERE
    ]
    return one


def everywhere(manifest: Manifest, agreements: list[Agreement]) -> Records:
    """Records of agreements over all sites alone."""
    chosen = tuple(one for one in agreements if one.part == EVERYWHERE)
    return Records(manifest, [], Findings(chosen))


@pytest.mark.parametrize("truth", [DENOISE, NOISE])
def test_headline_shows_the_estimates_made_for_the_truth(
    run_manifest: Manifest, agreements: list[Agreement], truth: Truth
) -> None:
    base = truth.base
    table = tables.headline_table(everywhere(run_manifest, agreements), truth)
    assert table.header[0] == "estimate"
    assert [row[0] for row in table.rows] == [
        f"gradient@{base}",
        f"relp@{base}",
        "integrated-gradients",
        f"relp-ah@{base}",
        "random",
    ]
    relp = next(row for row in table.rows if row[0] == f"relp@{base}")
    for cell, measure in zip(relp[1:], MEASURES, strict=True):
        mean = find(agreements, f"relp@{base}", truth.name, measure).mean
        assert cell == f"{mean.value:.3f} [{mean.low:.3f}, {mean.high:.3f}]"


def test_full_tables_show_every_base_and_every_measure(
    run_manifest: Manifest, agreements: list[Agreement]
) -> None:
    extra = [replace(one, measure="a-new-one") for one in agreements if one.measure == "pearson"]
    records = everywhere(run_manifest, [*agreements, *extra])
    found = tables.full_tables(records, DENOISE)
    for table in found:
        assert len(table.rows) == 2 * 3 + 2
        assert {"relp@clean", "relp@corrupted"} <= {row[0] for row in table.rows}
        assert len(table.header) <= 6
    assert found[-1].header == ("estimate", "a new one")
    shown = [name for table in found for name in table.header[1:]]
    assert len(shown) == len(measures) + 1
    assert len(set(shown)) == len(shown)


def test_undefined_comes_after_the_methods_with_its_reason(
    run_manifest: Manifest, agreements: list[Agreement]
) -> None:
    broken = [
        replace(one, mean=UNDEFINED) if one.estimate == "gradient" else one for one in agreements
    ]
    table = tables.headline_table(everywhere(run_manifest, broken), DENOISE)
    assert [row[0] for row in table.rows[-2:]] == ["gradient@corrupted", "random"]
    assert table.rows[-2][1:] == ("undefined¹",) * 4
    assert table.notes == (f"¹ {UNDEFINED.note}",)


def test_every_reason_has_its_own_number(
    run_manifest: Manifest, agreements: list[Agreement]
) -> None:
    broken = [
        replace(one, mean=replace(UNDEFINED, note=f"reason {one.measure}"))
        for one in agreements
        if one.estimate == "relp"
    ]
    table = tables.headline_table(everywhere(run_manifest, broken), NOISE)
    assert table.rows == (("relp@clean", "undefined¹", "undefined²", "undefined³", "undefined⁴"),)
    assert table.notes[3] == "⁴ reason top-10-overlap"


def test_contrasts_put_the_primary_first_and_say_so() -> None:
    first = Contrast(
        first="secant",
        second="gradient",
        base="clean",
        truth="noise",
        measure="pearson",
        difference=Interval(0.25, -0.125, 0.5),
        p=0.0004,
        p_holm=0.0008,
        primary=False,
    )
    primary = replace(first, first="relp", difference=UNDEFINED, p=math.nan, primary=True)
    table = contrast_table([first, primary])
    shared = ("Pearson with noise", "clean")
    assert table.rows == (
        ("relp - gradient (primary)", *shared, "undefined¹", "undefined", "<0.001"),
        ("secant - gradient", *shared, "0.250 [-0.125, 0.500]", "<0.001", "<0.001"),
    )


def test_seed_table_has_scale_pearson_and_top_features(scores: list[FeatureScores]) -> None:
    truth = scores[0]
    features = ~truth.units.is_error
    scale, shared = seed_tables("denoise", seed_table(scores, "denoise"))
    rows = {row[0]: row for row in scale.rows}
    assert rows["denoise"][2:] == (
        f"{truth.score[features].std():.4f}",
        f"{np.abs(truth.score[features]).max():.4f}",
        "1.000",
    )
    relp = next(one for one in scores if one.label == "relp@corrupted")
    pooled = np.corrcoef(relp.score[features], truth.score[features])[0, 1]
    assert rows["relp@corrupted"][-1] == f"{pooled:.3f}"
    assert rows["relp@corrupted"][1].count("#") == 5
    assert all(row[i + 1] == "5" for i, row in enumerate(shared.rows))


def test_seed_table_of_a_constant_estimate_is_undefined_with_its_note(
    scores: list[FeatureScores],
) -> None:
    flat = replace(scores[2], score=np.zeros_like(scores[2].score))
    scale, _ = seed_tables("denoise", seed_table([scores[0], flat], "denoise"))
    assert scale.rows[1][-1] == "undefined¹"
    assert scale.notes == ("¹ constant estimate",)


def test_units_are_counted_per_pair_and_site(scores: list[FeatureScores]) -> None:
    table = setup_tables.units_table(scores[0].units, UNITS["features"])
    assert table.rows == (
        ("resid_post.1", "features", "32.0", "32", "32", "192"),
        ("resid_post.1", "error units", "8.0", "8", "8", "48"),
        ("resid_post.2", "features", "40.0", "40", "40", "240"),
    )


def test_setup_tables_hold_the_manifest(run_manifest: Manifest) -> None:
    behaviour, quality = run_manifest.behaviour, run_manifest.sae_quality
    assert behaviour is not None
    assert setup_tables.behaviour_table(behaviour).rows == (
        ("clean", "86 %", "3.52"),
        ("corrupted", "14 %", "-3.13"),
    )
    assert setup_tables.dropped_table(behaviour).rows[1][1] == "1"
    assert setup_tables.sae_table(quality).rows[0] == (
        ("resid_post.1", "47.9", "0.750", "3.52", "1.40", "61 %", "30 %")
    )
    assert setup_tables.audit_table(run_manifest.rule_audit).rows == (
        ("relp", "norm", "ln", "5 of 5"),
    )
    assert setup_tables.timing_table(run_manifest.stages).rows == (("truths", "done", "41.3"),)
    assert ("model", "tiny-model", "ab" * 32) in setup_tables.weights_table(run_manifest).rows
    assert ("torch", "2.8.0") in setup_tables.versions_table(run_manifest.provenance).rows


def test_a_truth_is_answered_from_its_own_run() -> None:
    assert DENOISE.answered_from("corrupted")
    assert not DENOISE.answered_from("clean")
    assert NOISE.answered_from("both")
    assert Truth("shapley", "both").answered_from("clean")


def test_numbers_are_never_a_bare_nan_or_a_negative_zero() -> None:
    assert number(math.nan) == "undefined"
    assert number(-0.0001) == "0.000"
    assert interval(Interval(-0.5, math.nan, math.nan)) == "-0.500 [undefined]"
