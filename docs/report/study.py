"""The committed results of the study, read and checked: what the report's figures come from.

Each run lies in a folder of its own, as ``keep.py`` put it there: without scores, which the run's
command makes again.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from relp_sae.errors import InputError
from relp_sae.records import FeatureCards, FeatureScores, Findings, RunFolder, Units
from relp_sae.records.scores import Base
from relp_sae.report.contents import Records

ROOT = Path(__file__).parents[2]
FEATURES = ("ioi-smollm2-135m", "ioi-smollm2-135m-standard")
NODES, REGIMES = "nodes-smollm2-135m", "regimes-smollm2-135m"
ALSO = ("nulls", "certificates", "costs", "bench")
"""Results that the report links to."""

BASES: dict[str, Base] = {"denoise": "corrupted", "noise": "clean", "shapley": "both"}
"""Truth -> the run in which it changes units."""


@dataclass(frozen=True)
class Run:
    """One run's records and the folder that its figures are in."""

    path: Path
    records: Records

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def sae(self) -> str:
        """Its SAE's name."""
        return ", ".join(self.records.manifest.config.saes)

    @property
    def command(self) -> str:
        """The command that makes it again."""
        return self.records.manifest.provenance.command

    @property
    def cards(self) -> FeatureCards:
        """The cards of its strongest features."""
        assert self.records.features is not None  # read_study asks for them
        return self.records.features


@dataclass(frozen=True)
class Study:
    """All runs of the report; by SAE its quality on held-out text and its ``cfg.json``."""

    features: tuple[Run, ...]
    nodes: Run
    regimes: Run
    quality: dict[str, dict[str, Any]]
    shape: dict[str, dict[str, Any]]
    bench: dict[str, Any]

    @property
    def runs(self) -> tuple[Run, ...]:
        """Every run."""
        return (*self.features, self.nodes, self.regimes)


def read_study(
    results: Path = ROOT / "docs" / "results",
    saes: Path = ROOT / "src" / "relp_sae" / "saes" / "bundled",
) -> Study:
    """Everything that the report needs.

    Raises:
        InputError: something is missing, or was made by another version.
    """
    for name in ALSO:
        _need(results / name / "README.md", "see docs/results/README.md")
    features = tuple(_read_run(results / name, cards=True) for name in FEATURES)
    names = [one.sae for one in features]
    return Study(
        features=features,
        nodes=_read_run(results / NODES),
        regimes=_read_run(results / REGIMES),
        quality={name: _read_json(saes / name / "quality.json") for name in names},
        shape={name: _read_json(saes / name / "cfg.json") for name in names},
        bench=_read_json(results / "bench" / "bench.json"),
    )


def _read_run(path: Path, cards: bool = False) -> Run:
    for name in ("manifest.json", "agreement.json", *(["features.json"] if cards else [])):
        _need(path / name, "copy it there with docs/report/keep.py")
    folder = RunFolder.open(path)
    findings = folder.read_findings()
    records = Records(
        manifest=folder.read_manifest(),
        scores=unscored(findings),
        findings=findings,
        features=folder.read_features(),
    )
    return Run(path, records)


def unscored(findings: Findings) -> list[FeatureScores]:
    """The estimates and truths that were compared, by name and base, without their numbers."""
    none, integers = np.zeros(0), np.zeros(0, dtype=np.int64)
    units = Units(integers, np.zeros(0, dtype="U1"), integers, integers, none, none)
    truths = dict.fromkeys(one.truth for one in findings.agreements)
    estimates = dict.fromkeys((one.estimate, one.base) for one in findings.agreements)
    return [
        *(FeatureScores("truth", name, BASES[name], units, none, none) for name in truths),
        *(
            FeatureScores("estimate", name, base, units, none, none)  # pyright: ignore
            for name, base in estimates
        ),
    ]


def _need(path: Path, how: str) -> Path:
    if not path.is_file():
        raise InputError(f"The report needs {path}: {how}.")
    return path


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(_need(path, "it comes with what was measured").read_text(encoding="utf-8"))
