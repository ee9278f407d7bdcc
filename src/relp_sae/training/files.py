"""Documents of local files, read piece by piece so that a file may be larger than the memory."""

import io
import json
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from relp_sae.errors import InputError
from relp_sae.training.field import FIELD, missing, text_of

BUFFER = 1 << 20  # bytes that are decompressed at once


def file_documents(source: str) -> Iterator[str]:
    """Documents of a file, or of the files of a folder in the order of their names.

    A ``.txt`` file is one document; ``.jsonl`` files (plain, ``.gz``, ``.zst``) hold one in each
    line, and ``.parquet`` files one in each row, in the field ``text``.

    Raises:
        InputError: at once, if there is no such file or it is of another format; while reading,
            if a file is damaged or not UTF-8, or a line or row has no text.
    """
    return chain.from_iterable(map(_read, _paths(Path(source))))


def _paths(path: Path) -> list[Path]:
    known = ", ".join(READERS)
    if path.is_dir():
        paths = sorted(one for one in path.iterdir() if one.is_file() and _suffix(one))
        if not paths:
            raise InputError(f"The folder {path} has no file ending in {known}.")
        return paths
    if not path.is_file():
        raise InputError(
            f"No text at {path}. Give a file ending in {known}, a folder of such files, "
            "hf:OWNER/NAME for a data set of the Hugging Face Hub, or generated for text that "
            "the model writes itself."
        )
    if not _suffix(path):
        raise InputError(f"Cannot read {path}: expected a file ending in {known}.")
    return [path]


def _suffix(path: Path) -> str:
    """The ending by which a file is read; empty if there is none."""
    return next((suffix for suffix in READERS if path.name.endswith(suffix)), "")


def _read(path: Path) -> Iterator[str]:
    try:
        yield from READERS[_suffix(path)](path)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text: {error}.") from error
    except (OSError, pa.ArrowException) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise InputError(f"Cannot read {path}: {reason.rstrip('.')}.") from error


def _whole(path: Path) -> Iterator[str]:
    yield path.read_text(encoding="utf-8")


def _lines(path: Path, compression: str | None = None) -> Iterator[str]:
    # Arrow's streams, unlike zstandard's, say so when a compressed file ends too early.
    with pa.input_stream(str(path), compression=compression) as stream:
        for number, line in enumerate(io.BufferedReader(stream, BUFFER), start=1):
            if line.strip():
                yield _text_of_line(line, f"{path} line {number}")


def _text_of_line(line: bytes, place: str) -> str:
    try:
        return text_of(json.loads(line.decode("utf-8")))
    except UnicodeDecodeError as error:
        raise InputError(f"{place} is not UTF-8 text: {error}.") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{place} is not JSON: {error}.") from error
    except ValueError as error:
        raise InputError(f"{place}: {error}.") from error


def _rows(path: Path) -> Iterator[str]:
    with parquet.ParquetFile(path) as file:
        if FIELD not in file.schema_arrow.names:
            raise InputError(f"{path}: {missing(file.schema_arrow.names)}.")
        batches = file.iter_batches(batch_size=1024, columns=[FIELD])
        rows = chain.from_iterable(batch.to_pylist() for batch in batches)
        for number, row in enumerate(rows, start=1):
            try:
                yield text_of(row)
            except ValueError as error:
                raise InputError(f"{path} row {number}: {error}.") from error


READERS: dict[str, Callable[[Path], Iterator[str]]] = {
    ".txt": _whole,
    ".jsonl": _lines,
    ".jsonl.gz": partial(_lines, compression="gzip"),
    ".jsonl.zst": partial(_lines, compression="zstd"),
    ".parquet": _rows,
}
"""Ending of a file -> what reads its documents."""
