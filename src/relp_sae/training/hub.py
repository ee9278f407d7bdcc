"""Documents of a data set of the Hugging Face Hub, streamed: nothing is downloaded whole."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from datasets import load_dataset

from relp_sae.errors import InputError
from relp_sae.training.field import text_of

NAME = re.compile(r"(?P<path>[^@:]+)(@(?P<config>[^@:]+))?(:(?P<split>[^@:]+))?")


def hub_documents(name: str) -> Iterator[str]:
    """The field ``text`` of every record of ``PATH[@CONFIG][:SPLIT]``, in the data set's order.

    PATH is OWNER/NAME on the Hub or a local folder that ``datasets.load_dataset`` opens; the
    split is ``train`` unless it is given. A local folder whose own name has an @ or a colon is
    taken whole.

    Raises:
        InputError: at once, if the Hub cannot be reached or has no such data set, configuration
            or split; while reading, if the connection ends or a record has no text.
    """
    path, config, split = _parse(name)
    try:
        records = load_dataset(path, config, split=split, streaming=True)
    except Exception as error:  # whatever its many builders, file systems and clients raise
        raise InputError(_unreadable(name, error)) from error
    return _texts(name, records)


def _parse(name: str) -> tuple[str, str | None, str]:
    if Path(name).is_dir():
        return name, None, "train"
    found = NAME.fullmatch(name)
    if found is None:
        raise InputError(
            f"Cannot tell the data set in 'hf:{name}'. Expected hf:OWNER/NAME, with @CONFIG and "
            ":SPLIT behind it where they are needed, such as hf:NeelNanda/pile-10k:train."
        )
    return found["path"], found["config"], found["split"] or "train"


def _texts(name: str, records: Iterable[dict[str, Any]]) -> Iterator[str]:
    reading = iter(records)
    number = 0
    while True:
        number += 1
        try:
            record = next(reading)
        except StopIteration:
            return
        except Exception as error:  # as above
            raise InputError(_unreadable(name, error)) from error
        try:
            yield text_of(record)
        except ValueError as error:
            raise InputError(f"hf:{name} record {number}: {error}.") from error


def _unreadable(name: str, error: Exception) -> str:
    reason = " ".join(str(error).split("\n")[:2]).strip() or type(error).__name__
    return (
        f"Cannot read the data set hf:{name}: {reason.rstrip('.')}. Without the Hub, give a local "
        "text file or folder, hf:FOLDER for a data set on disk, or generated for text that the "
        "model writes itself."
    )
