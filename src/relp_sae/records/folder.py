"""The run folder: what every command writes and reads.

``manifest.json``, ``pairs.parquet``, ``scores.parquet`` (long: one row per unit and score),
``agreement.json``, ``report.md``, ``report.html``, ``figures/``, and where the run measured them
``curves.parquet``, ``sweep.parquet``, ``sets.parquet``, ``certificate.json`` and
``features.json``. While a run is under way its
scores stand in ``parts/``, one file per finished piece, so that a killed run goes on there.
"""

import dataclasses
import json
import shutil
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from relp_sae.errors import InputError
from relp_sae.records.agreement import Findings
from relp_sae.records.atomic import write_atomically, write_text
from relp_sae.records.certificate import Certificate
from relp_sae.records.features import FeatureCards
from relp_sae.records.manifest import Manifest
from relp_sae.records.pairs import MeasuredPair, PromptPair
from relp_sae.records.scores import FeatureScores
from relp_sae.records.scores_file import read_scores, write_scores

_FINDINGS = TypeAdapter(Findings)
_CERTIFICATES = TypeAdapter(tuple[Certificate, ...])
_FEATURES = TypeAdapter(FeatureCards)


class RunFolder:
    """Reader and writer of one run folder. Every write is atomic."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @staticmethod
    def create(path: str | Path, manifest: Manifest) -> "RunFolder":
        """Make a new folder with its manifest.

        Raises:
            InputError: ``path`` exists already, or cannot be made.
        """
        folder = RunFolder(path)
        try:
            folder.path.mkdir(parents=True, exist_ok=False)
        except FileExistsError as error:
            raise InputError(
                f"{path} exists already. Choose another --out, or remove it."
            ) from error
        except OSError as error:
            raise InputError(f"Cannot make the run folder {path}: {error.strerror}.") from error
        try:
            folder.write_manifest(manifest)
        except InputError:
            folder.path.rmdir()
            raise
        return folder

    @staticmethod
    def open(path: str | Path) -> "RunFolder":
        """Open an existing folder.

        Raises:
            InputError: there is no run folder at ``path``.
        """
        folder = RunFolder(path)
        if not (folder.path / "manifest.json").is_file():
            raise InputError(
                f"{path} is not a run folder (it has no manifest.json). "
                "Make one with: relp-sae run --out FOLDER"
            )
        return folder

    def _need(self, name: str, made_by: str) -> Path:
        path = self.path / name
        if not path.is_file():
            raise InputError(f"{self.path} has no {name} yet. Make it with: relp-sae {made_by}")
        return path

    def write_manifest(self, manifest: Manifest) -> None:
        """Save ``manifest.json``."""
        write_text(self.path / "manifest.json", manifest.model_dump_json(indent=2) + "\n")

    def read_manifest(self) -> Manifest:
        """Read ``manifest.json``.

        Raises:
            InputError: it is not a manifest of this version.
        """
        path = self.path / "manifest.json"
        try:
            return Manifest.model_validate_json(path.read_text(encoding="utf-8"))
        except (ValidationError, ValueError) as error:
            raise InputError(
                f"{path} is not a manifest that this version reads: {error}"
            ) from error

    def write_pairs(self, pairs: Iterable[MeasuredPair]) -> None:
        """Save ``pairs.parquet``, one row per measured pair in the order of ``Units.pair``."""
        rows = [
            {"pair": index, **dataclasses.asdict(measured.pair)}
            | {
                "clean_metric": measured.clean_metric,
                "corrupted_metric": measured.corrupted_metric,
                "dropped": measured.dropped,
            }
            for index, measured in enumerate(pairs)
        ]
        _write_parquet(self.path / "pairs.parquet", pd.DataFrame(rows))

    def read_pairs(self) -> list[MeasuredPair]:
        """Read ``pairs.parquet``."""
        frame = _read_parquet(self._need("pairs.parquet", "run"))
        return [_measured_pair(row) for row in frame.to_dict("records")]

    def write_part(self, name: str, frame: pd.DataFrame) -> None:
        """Save one finished piece of the scores."""
        _write_parquet(self.path / "parts" / f"{name}.parquet", frame)

    def read_part(self, name: str) -> pd.DataFrame | None:
        """The piece of that name, or None when it is not finished."""
        path = self.path / "parts" / f"{name}.parquet"
        return _read_parquet(path) if path.is_file() else None

    def drop_parts(self) -> None:
        """Remove the finished pieces, once a whole run has no more use for them."""
        shutil.rmtree(self.path / "parts", ignore_errors=True)

    def write_scores(self, scores: Iterable[FeatureScores]) -> None:
        """Save ``scores.parquet``; the scores are taken one at a time."""
        write_scores(self.path / "scores.parquet", scores)

    def read_scores(self) -> list[FeatureScores]:
        """Read ``scores.parquet``: one record per (kind, name, base), in the order written."""
        return read_scores(self._need("scores.parquet", "run"))

    def write_findings(self, findings: Findings) -> None:
        """Save ``agreement.json``; NaN is written as null."""
        text = _FINDINGS.dump_json(findings, indent=1).decode()
        write_text(self.path / "agreement.json", text + "\n")

    def read_findings(self) -> Findings:
        """Read ``agreement.json``."""
        path = self._need("agreement.json", f"compare {self.path}")
        try:
            content = _nan_for_null(json.loads(path.read_text(encoding="utf-8")))
            return _FINDINGS.validate_python(content)
        except ValueError as error:
            reason = str(error).splitlines()[0]
            raise InputError(
                f"{path} cannot be read: {reason}. Make it again with: relp-sae compare {self.path}"
            ) from error

    @property
    def is_compared(self) -> bool:
        """Whether it has what a report is made of."""
        return (self.path / "agreement.json").is_file()

    def write_certificates(self, certificates: Iterable[Certificate]) -> None:
        """Save ``certificate.json``; NaN is written as null."""
        text = _CERTIFICATES.dump_json(tuple(certificates), indent=1).decode()
        write_text(self.path / "certificate.json", text + "\n")

    def read_certificates(self) -> tuple[Certificate, ...]:
        """Read ``certificate.json``; none where the run made none."""
        path = self.path / "certificate.json"
        if not path.is_file():
            return ()
        content = _nan_for_null(json.loads(path.read_text(encoding="utf-8")))
        return _CERTIFICATES.validate_python(content)

    def write_features(self, cards: FeatureCards) -> None:
        """Save ``features.json``."""
        text = _FEATURES.dump_json(cards, indent=1).decode()
        write_text(self.path / "features.json", text + "\n")

    def read_features(self) -> FeatureCards | None:
        """Read ``features.json``; None where the run's features were not looked at.

        Raises:
            InputError: it is not a file of this version.
        """
        path = self.path / "features.json"
        if not path.is_file():
            return None
        try:
            return _FEATURES.validate_json(path.read_text(encoding="utf-8"))
        except ValueError as error:
            reason = str(error).splitlines()[0]
            raise InputError(
                f"{path} cannot be read: {reason}. Make it again with: "
                f"relp-sae features {self.path} --data TEXT"
            ) from error

    def write_table(self, name: str, frame: pd.DataFrame) -> None:
        """Save one of the tables that only some runs have: ``curves``, ``sweep``, ``sets``."""
        _write_parquet(self.path / f"{name}.parquet", frame)

    def read_table(self, name: str) -> pd.DataFrame | None:
        """The table of that name, or None when the run has none."""
        path = self.path / f"{name}.parquet"
        return _read_parquet(path) if path.is_file() else None


def _measured_pair(row: Mapping[Hashable, Any]) -> MeasuredPair:
    pair = PromptPair(
        clean=row["clean"],
        corrupted=row["corrupted"],
        clean_ids=tuple(int(i) for i in row["clean_ids"]),
        corrupted_ids=tuple(int(i) for i in row["corrupted_ids"]),
        answer=row["answer"],
        foil=row["foil"],
    )
    return MeasuredPair(pair, row["clean_metric"], row["corrupted_metric"], row["dropped"])


def _write_parquet(path: Path, frame: pd.DataFrame) -> None:
    write_atomically(path, lambda temporary: frame.to_parquet(temporary, index=False))


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read as Parquet: {error}. Remove it and run again."
        ) from error


def _nan_for_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _nan_for_null(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_nan_for_null(item) for item in value]
    return float("nan") if value is None else value
