"""The project's report says what the committed records say."""

import importlib
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from relp_sae.errors import InputError
from relp_sae.records import CardScore, Context, FeatureCard, FeatureCards, MovedToken, RunFolder
from relp_sae.report.contents import Records

ROOT = Path(__file__).parents[2]
RUNS = (
    "ioi-smollm2-135m",
    "ioi-smollm2-135m-standard",
    "nodes-smollm2-135m",
    "regimes-smollm2-135m",
)
FIGURES = ("agreement", "scatter-denoise", "scatter-noise", "curves", "regimes")
LABELS = {"denoise": "truth", "noise": "truth", "gradient@corrupted": "estimate"}


@pytest.fixture(scope="module")
def project() -> Iterator[Callable[[str], ModuleType]]:
    """``project("study")``: a module of docs/report, imported as its script does it."""
    folder = str(ROOT / "docs" / "report")
    sys.path.insert(0, folder)
    try:
        yield importlib.import_module
    finally:
        sys.path.remove(folder)


def card(feature: int) -> FeatureCard:
    scores = tuple(
        CardScore(kind, label.partition("@")[0], label, 1.0, 1 + (feature + i) % 12, 0.1 * feature)  # pyright: ignore
        for i, (label, kind) in enumerate(LABELS.items())
    )
    contexts = (Context(2.0, "left ", f" w{feature}|", " right"), Context(1.0, "", "<b>", ""))
    moved = (MovedToken(" her", 1.0),)
    return FeatureCard("resid_pre.2", feature, 3, 4, scores, 0.01, 2.0, contexts, moved, moved)


def save_run(path: Path, records: Records, sae: str) -> None:
    """A finished run as far as the report needs it."""
    config = records.manifest.config.model_copy(update={"saes": (sae,) if sae else ()})
    run = RunFolder.create(path, records.manifest.model_copy(update={"config": config}))
    run.write_findings(records.findings)
    cards = FeatureCards(10, tuple(LABELS), 1000, 9, 0.5, tuple(map(card, range(12))))
    if sae:
        run.write_features(cards)
    (path / "figures").mkdir()
    for name in FIGURES:
        (path / "figures" / f"{name}.png").write_bytes(b"\x89PNG")
        (path / "figures" / f"{name}.svg").write_text("<svg/>")


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory,
    project: Callable[[str], ModuleType],
    feature_records: Records,
    node_records: Records,
) -> Path:
    """``results`` as ``keep.py`` makes them of runs with made-up records, and ``saes``."""
    where = tmp_path_factory.mktemp("project")
    for name in RUNS:
        sae = "" if name.startswith("nodes") else f"sae-of-{name}"
        save_run(where / name, feature_records if sae else node_records, sae)
        project("keep").keep(where / name, where / "results" / name)
        if sae:
            folder = where / "saes" / sae
            folder.mkdir(parents=True)
            figures = {"tokens": 9000, "l0": 48.0, "explained_variance": 0.8}
            figures |= {"cross_entropy_recovered": 0.98, "dead_fraction": 0.01}
            (folder / "quality.json").write_text(json.dumps(figures))
            (folder / "cfg.json").write_text('{"architecture": "topk", "d_sae": 64}')
    for name in ("nulls", "certificates", "costs", "bench"):
        shutil.copytree(ROOT / "docs" / "results" / name, where / "results" / name)
    shutil.copy(ROOT / "docs" / "results" / "README.md", where / "results")
    return where


@pytest.fixture
def write(project: Callable[[str], ModuleType]) -> Callable[[Path], str]:
    """``write(folder)``: the report of ``folder/results`` and ``folder/saes``."""
    return lambda folder: project("make_report").written(
        project("study").read_study(folder / "results", folder / "saes")
    )


def test_every_figure_is_there_with_its_command(made: Path, write: Callable[[Path], str]) -> None:
    report = write(made)
    shown = re.findall(r"!\[[^\]]*\]\((results/[^)]+)\)\n\n[^\n]*`relp-sae run ", report)
    assert len(shown) == report.count("![") == 11
    assert all((made / path).is_file() for path in shown)
    linked = {one.split("#")[0] for one in re.findall(r"\]\((results/[^)]+)\)", report)}
    assert all((made / path).exists() or path.endswith("report.md") for path in linked)


def test_the_numbers_are_those_of_the_records(
    made: Path, write: Callable[[Path], str], feature_records: Records, node_records: Records
) -> None:
    report = write(made)
    means = {
        (one.truth, one.estimate, one.base): f"{one.mean.value:.3f}"
        for one in feature_records.findings.agreements
        if (one.measure, one.part) == ("pearson", "all sites")
    }
    rows = {line.split(" | ")[0]: line for line in report.splitlines()}
    for estimate, base in (("secant", "both"), ("relp", "corrupted"), ("relp", "clean")):
        name = estimate if base == "both" else f"{estimate}@{base}"
        assert f"| {means['shapley', estimate, base]} [" in report
        assert f"`{name}` {means['shapley', estimate, base]}" in report
        assert f"| {name}" in rows
    (best,) = (
        max(found, key=lambda one: one.mean.value)
        for found in [
            [
                one
                for one in node_records.findings.agreements
                if (one.measure, one.part, one.truth) == ("pearson", "mlp_out", "denoise")
                and one.estimate in ("gradient", "integrated-gradients", "relp", "secant")
                and one.base != "clean"
            ]
        ]
    )
    label = best.estimate if best.base == "both" else f"{best.estimate}@{best.base}"
    assert f"`{label}` at `mlp_out`" in report
    assert "' w3|'".replace("|", "\\|") in report  # a token is no markup


def test_sentences_follow_the_numbers(
    made: Path, tmp_path: Path, write: Callable[[Path], str], feature_records: Records
) -> None:
    copy = Path(shutil.copytree(made, tmp_path / "copy"))
    before = write(copy)
    assert before.count("`relp` agrees better.") == 2
    first, *others = feature_records.findings.contrasts
    turned = replace(first, difference=replace(first.difference, value=-0.2))
    undecided = replace(first, p=0.5)
    for contrast, words in ((turned, "`gradient` agrees better"), (undecided, "does not decide")):
        findings = replace(feature_records.findings, contrasts=(contrast, *others))
        RunFolder(copy / "results" / RUNS[1]).write_findings(findings)
        after = write(copy)
        assert words in after
        assert after.count("`relp` agrees better.") == 1


@pytest.mark.parametrize(
    "lacking",
    [f"{RUNS[1]}/features.json", f"{RUNS[2]}/agreement.json", f"{RUNS[0]}/figures/curves.png",
     "nulls/README.md"],
)  # fmt: skip
def test_what_is_missing_is_named(
    made: Path, tmp_path: Path, write: Callable[[Path], str], lacking: str
) -> None:
    copy = Path(shutil.copytree(made, tmp_path / "copy"))
    (copy / "results" / lacking).unlink()
    with pytest.raises(InputError, match=f"needs .*{re.escape(lacking)}"):
        write(copy)


def test_a_reading_speaks_of_features_that_have_cards(
    made: Path, tmp_path: Path, write: Callable[[Path], str]
) -> None:
    copy = Path(shutil.copytree(made, tmp_path / "copy"))
    reading = copy / "results" / RUNS[0] / "reading.md"
    reading.write_text("The first, `resid_pre.2/3`, is about women.\n")
    assert "is about women" in write(copy)
    reading.write_text("And `resid_pre.2/77` of men.\n")
    with pytest.raises(InputError, match=r"reading\.md speaks of resid_pre\.2/77"):
        write(copy)


def test_what_is_kept_is_what_was_found(made: Path) -> None:
    whole = RunFolder(made / RUNS[0]).read_findings()
    kept = RunFolder(made / "results" / RUNS[0]).read_findings()
    assert not [*(made / "results").rglob("*.svg")]
    assert len(kept.agreements) == len(whole.agreements)
    for one, other in zip(kept.agreements, whole.agreements, strict=True):
        assert one.mean.value == pytest.approx(other.mean.value, rel=1e-5)
        assert len(one.per_pair) == (6 if one.measure == "pearson" else 0)


@pytest.mark.skipif(
    not (ROOT / "docs" / "results" / RUNS[1]).exists(),
    reason="the runs of the report are not all among the committed results",
)
def test_the_committed_report_is_what_its_records_say(
    project: Callable[[str], ModuleType],
) -> None:
    """If not: make report."""
    written = project("make_report").written(project("study").read_study())
    assert (ROOT / "docs" / "report.md").read_text(encoding="utf-8") == written
