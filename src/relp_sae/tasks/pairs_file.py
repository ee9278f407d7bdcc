"""Reads the user's own pairs: a .jsonl or .jsonl.gz file, one pair a line."""

import gzip
import zlib
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from relp_sae.errors import InputError
from relp_sae.records.pairs import PromptPair
from relp_sae.tasks.loaded import BadLine, LoadedTask
from relp_sae.tasks.pairs_line import parse_line


def read_pairs(
    path: str | Path, tokenizer: PreTrainedTokenizerBase, skip_bad: bool = False
) -> LoadedTask:
    """All pairs of a file. Blank lines are passed over; ``skip_bad`` drops and lists bad ones.

    Raises:
        InputError: a line is bad (its number and what is wrong), or the file holds no pair.
    """
    line_of: dict[PromptPair, int] = {}
    dropped: list[BadLine] = []
    for number, raw in _lines(Path(path)):
        try:
            pair = parse_line(raw, tokenizer)
            if pair in line_of:
                raise InputError(f"the same pair as line {line_of[pair]}; give each pair once")
            line_of[pair] = number
        except InputError as error:
            if not skip_bad:
                raise InputError(
                    f"{path} line {number}: {error}. (--skip-bad drops such lines.)"
                ) from error
            dropped.append(BadLine(number, str(error)))
    if not line_of:
        raise InputError(_no_pair(path, dropped))
    return LoadedTask(list(line_of), tuple(dropped))


def _lines(path: Path) -> list[tuple[int, bytes]]:
    """The lines that are not blank, with their numbers."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as file:
            return [(number, raw) for number, raw in enumerate(file, start=1) if raw.strip()]
    except FileNotFoundError as error:
        raise InputError(f"There is no file {path}.") from error
    except IsADirectoryError as error:
        raise InputError(
            f"{path} is a folder. Expected a file of pairs, one JSON object a line."
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"Cannot read {path}: {getattr(error, 'strerror', '') or error}."
        ) from error


def _no_pair(path: str | Path, dropped: list[BadLine]) -> str:
    if not dropped:
        return f"{path} is empty. Expected one JSON object a line."
    number, reason = dropped[0]
    return f"{path} has no usable pair: all {len(dropped)} lines are bad. Line {number}: {reason}."
