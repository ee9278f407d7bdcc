"""``scores.parquet``, long: one row per unit and score, read and written one score at a time."""

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from relp_sae.errors import InputError
from relp_sae.records.atomic import write_atomically
from relp_sae.records.scores import FeatureScores, Units

SCHEMA = pa.schema(
    {
        "pair": pa.int64(),
        "site": pa.large_string(),
        "pos": pa.int64(),
        "feature": pa.int64(),
        "delta": pa.float64(),
        "relative_step": pa.float64(),
        "kind": pa.large_string(),
        "name": pa.large_string(),
        "base": pa.large_string(),
        "score": pa.float64(),
        "stderr": pa.float64(),
    }
)

UNIT_COLUMNS = [one.name for one in dataclasses.fields(Units)]

RECORD = ["kind", "name", "base"]
"""The columns that say which score a row belongs to."""

ROWS = 2**20
"""The most rows that are held as a table while a file is written."""


def write_scores(path: Path, scores: Iterable[FeatureScores]) -> None:
    """Write scores atomically, each as row groups of its own.

    Raises:
        InputError: the disk is full or the folder cannot be written.
    """

    def write(temporary: Path) -> None:
        with pq.ParquetWriter(temporary, SCHEMA) as file:
            for one in scores:
                for start in range(0, len(one.score), ROWS):
                    rows = np.arange(start, min(start + ROWS, len(one.score)))
                    frame = scores_frame(one.chosen(rows))
                    file.write_table(pa.Table.from_pandas(frame, SCHEMA, preserve_index=False))

    write_atomically(path, write)


def read_scores(path: Path) -> list[FeatureScores]:
    """One record per (kind, name, base), in the order written; equal units are one object.

    Raises:
        InputError: the file is not Parquet.
    """
    try:
        return list(_records(path))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read as Parquet: {error}. Remove it and run again."
        ) from error


def _records(path: Path) -> Iterator[FeatureScores]:
    known: list[Units] = []
    for kind, name, base in _named(path):
        wanted = [("kind", "==", kind), ("name", "==", name), ("base", "==", base)]
        columns = [*UNIT_COLUMNS, "score", "stderr"]
        # Of a file written here this opens the row groups of the one score alone.
        table = pq.read_table(path, columns=columns, filters=wanted, read_dictionary=["site"])
        units = _units(table)
        same = [one for one in known if _equal(one, units)]
        if not same:
            known.append(units)
        numbers = {column: _numbers(table, column) for column in ("score", "stderr")}
        yield FeatureScores(kind, name, base, same[0] if same else units, **numbers)


def _named(path: Path) -> list[tuple]:
    """The (kind, name, base) in the file, in order."""
    found: dict[tuple, None] = {}
    with pq.ParquetFile(path, read_dictionary=RECORD) as file:
        for group in range(file.num_row_groups):
            names = file.read_row_group(group, columns=RECORD).group_by(RECORD, use_threads=False)
            found |= dict.fromkeys(tuple(row.values()) for row in names.aggregate([]).to_pylist())
    return list(found)


def _units(table: pa.Table) -> Units:
    site = table["site"].combine_chunks()
    names = np.array(site.dictionary.to_pylist(), dtype=str)
    numbers = {name: _numbers(table, name) for name in UNIT_COLUMNS if name != "site"}
    return Units(site=names[site.indices.to_numpy()], **numbers)


def _numbers(table: pa.Table, column: str) -> np.ndarray:
    """A column as an array of its own, which does not hold the table."""
    return table[column].to_numpy().copy()


def _equal(one: Units, other: Units) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in UNIT_COLUMNS)


def scores_frame(scores: FeatureScores) -> pd.DataFrame:
    """One record as rows of ``scores.parquet``."""
    units = pd.DataFrame({name: getattr(scores.units, name) for name in UNIT_COLUMNS})
    return units.assign(
        kind=scores.kind,
        name=scores.name,
        base=scores.base,
        score=scores.score,
        stderr=scores.stderr,
    )
