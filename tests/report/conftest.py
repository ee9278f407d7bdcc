"""A run folder made of seeded numbers: heavy-tailed truths, estimates that see them dimly."""

import runpy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from relp_sae.faithfulness import compare, contrasts
from relp_sae.records import (
    Agreement,
    Contrast,
    FeatureScores,
    Findings,
    Manifest,
    MeasuredPair,
    PromptPair,
    RunConfig,
    RunFolder,
    Units,
)
from relp_sae.records.manifest import Behaviour, Provenance, RoleAudit, SaeQuality, Stage
from relp_sae.report import write_report
from relp_sae.report.contents import Records

PAIRS, UNITS, ERRORS = 6, 80, 8
SITES = ("resid_post.1", "resid_post.2")
SEES = {"gradient": (0.95, 0.1), "relp": (0.7, 0.5), "relp-ah": (0.2, 1.2)}


def manifest() -> Manifest:
    return Manifest(
        status="done",
        config=RunConfig(
            model="tiny-model",
            saes=("made-up/<sae>",),
            task="ioi",
            n=PAIRS,
            methods=("gradient", "relp", "relp-ah", "integrated-gradients", "random"),
            truths=("denoise", "noise"),
            base="both",
            seed=0,
            device="cpu",
            dtype="float32",
            bootstrap=2000,
        ),
        provenance=Provenance(
            relp_sae="0.1.0",
            python="3.11.0",
            platform="linux",
            packages={"torch": "2.8.0", "numpy": "2.1.0"},
            model_sha256="ab" * 32,
            inputs_sha256="ef" * 32,
            command="relp-sae run --model tiny-model --out 'my run'",
            started="2025-11-22T10:00:00Z",
        ),
        stages={"truths": Stage(status="done", seconds=41.26)},
        behaviour=Behaviour(
            measured=PAIRS + 1,
            kept=PAIRS,
            dropped={"the model prefers the foil | on clean": 1},
            clean_accuracy=6 / 7,
            corrupted_accuracy=1 / 7,
            clean_metric=3.52,
            corrupted_metric=-3.13,
        ),
        sae_quality={
            site: SaeQuality(
                source="made-up/<sae>",
                trained_on="made-up",
                sha256="cd" * 32,
                l0=47.9,
                explained_variance=0.75,
                clean_metric=3.52,
                spliced_clean_metric=1.4,
                error_share={"denoise": 0.61, "noise": 0.3},
            )
            for site in SITES
        },
        rule_audit={"relp": {"norm": RoleAudit(rule="ln", fired=5, expected=5)}},
    )


def measured_pairs() -> list[MeasuredPair]:
    return [
        MeasuredPair(
            PromptPair(f"clean {i}", f"corrupted {i}", (0, i + 1, 9), (0, i + 2, 9), 5, 6),
            3.5 + i / 10,
            -3.1,
            "the model prefers the foil | on clean" if i == PAIRS else "",
        )
        for i in range(PAIRS + 1)
    ]


def units(rng: np.random.Generator) -> Units:
    feature = np.tile(np.r_[np.full(ERRORS, -1), np.arange(UNITS - ERRORS)], PAIRS)
    return Units(
        pair=np.repeat(np.arange(PAIRS), UNITS),
        site=np.tile(np.repeat(np.array(SITES), UNITS // 2), PAIRS),
        pos=rng.integers(1, 3, PAIRS * UNITS),
        feature=feature,
        delta=rng.normal(size=PAIRS * UNITS),
        relative_step=rng.uniform(0.01, 0.5, PAIRS * UNITS),
    )


def made_scores(seed: int = 0) -> list[FeatureScores]:
    rng = np.random.default_rng(seed)
    where, size = units(rng), PAIRS * UNITS

    def record(kind: str, name: str, base: str, score: np.ndarray) -> FeatureScores:
        return FeatureScores(kind, name, base, where, score, np.zeros(size))  # pyright: ignore

    truths = {base: 0.02 * rng.standard_t(1.6, size) for base in ("corrupted", "clean")}
    records = [
        record("truth", "denoise", "corrupted", truths["corrupted"]),
        record("truth", "noise", "clean", truths["clean"]),
    ]
    for name, (slope, blur) in SEES.items():
        for base, truth in truths.items():
            noise = blur * 0.02 * rng.standard_t(2, size)
            records.append(record("estimate", name, base, slope * truth + noise))
    path = 0.4 * (truths["corrupted"] + truths["clean"])
    records.append(record("estimate", "integrated-gradients", "both", path))
    records.append(record("estimate", "random", "both", rng.normal(size=size)))
    return records


def made_agreement(scores: list[FeatureScores]) -> tuple[list[Agreement], list[Contrast]]:
    truths = [one for one in scores if one.kind == "truth"]
    estimates = [one for one in scores if one.kind == "estimate"]
    agreements = [
        one
        for truth in truths
        for estimate in estimates
        for one in compare(estimate, truth, bootstrap=100)
    ]
    return agreements, contrasts(scores, manifest().primary, bootstrap=100)


@pytest.fixture
def run_manifest() -> Manifest:
    return manifest()


@pytest.fixture(scope="session")
def scores() -> list[FeatureScores]:
    return made_scores()


@pytest.fixture(scope="session")
def compared(scores: list[FeatureScores]) -> tuple[list[Agreement], list[Contrast]]:
    return made_agreement(scores)


@pytest.fixture
def agreements(compared: tuple[list[Agreement], list[Contrast]]) -> list[Agreement]:
    return compared[0]


def finished_run(
    path: Path,
    scores: list[FeatureScores],
    compared: tuple[list[Agreement], list[Contrast]],
) -> RunFolder:
    """A finished run without its report."""
    made = RunFolder.create(path, manifest())
    made.write_pairs(measured_pairs())
    made.write_scores(scores)
    made.write_findings(Findings(*map(tuple, compared)))
    return made


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., RunFolder]:
    """``make_run(scores, compared)``: a finished run without its report."""
    return lambda scores, compared: finished_run(tmp_path / "run", scores, compared)


@pytest.fixture(scope="session")
def reported(
    tmp_path_factory: pytest.TempPathFactory,
    scores: list[FeatureScores],
    compared: tuple[list[Agreement], list[Contrast]],
) -> RunFolder:
    """A finished run with its report. Read it, and leave it as it is."""
    made = finished_run(tmp_path_factory.mktemp("runs") / "run", scores, compared)
    write_report(made)
    return made


@pytest.fixture(scope="session")
def many_parts() -> SimpleNamespace:
    """The module ``many_parts.py`` beside this one: records of runs that have everything."""
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("many_parts.py"))))


@pytest.fixture(scope="session")
def feature_records(many_parts: SimpleNamespace) -> Records:
    """SAE features at two sites, three truths, ceilings, curves and a regime map."""
    return Records(
        many_parts.manifest(manifest(), False),
        many_parts.scores(False),
        many_parts.findings(False),
        many_parts.curve_table(),
    )


@pytest.fixture(scope="session")
def node_records(many_parts: SimpleNamespace) -> Records:
    """Whole nodes of three kinds, three truths, ceilings and a regime map."""
    return Records(
        many_parts.manifest(manifest(), True), many_parts.scores(True), many_parts.findings(True)
    )


@pytest.fixture(scope="session", params=["features", "nodes"])
def whole_report(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    feature_records: Records,
    node_records: Records,
) -> RunFolder:
    """The report of a run that has everything. Read it, and leave it as it is."""
    records = {"features": feature_records, "nodes": node_records}[request.param]
    made = RunFolder.create(tmp_path_factory.mktemp("whole") / "run", records.manifest)
    made.write_pairs(measured_pairs())
    made.write_scores(records.scores)
    made.write_findings(records.findings)
    if records.curves is not None:
        made.write_table("curves", records.curves)
    write_report(made)
    return made
