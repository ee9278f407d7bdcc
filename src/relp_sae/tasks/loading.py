"""A built-in task or the user's file: one door for both."""

import os
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from relp_sae.errors import InputError
from relp_sae.tasks.loaded import LoadedTask
from relp_sae.tasks.pairs_file import read_pairs
from relp_sae.tasks.task import tasks

PAIRS = 32  # of a task, where the user does not say


def load_task(
    name_or_path: str | Path,
    tokenizer: PreTrainedTokenizerBase,
    n: int | None,
    seed: int,
    skip_bad: bool = False,
) -> LoadedTask:
    """``n`` pairs of a registered task, or the first ``n`` pairs of a file.

    Without ``n``: 32 pairs of a task, every pair of a file.

    A name with an extension, or one that exists on disk, is a file. A registered name comes first.

    Raises:
        InputError: the task is unknown, the file is bad, or it does not hold ``n`` pairs.
    """
    if name_or_path not in tasks and _is_path(name_or_path):
        return _first(n, read_pairs(name_or_path, tokenizer, skip_bad), name_or_path)
    return LoadedTask(tasks[str(name_or_path)](tokenizer, n=PAIRS if n is None else n, seed=seed))


def _is_path(name: str | Path) -> bool:
    return isinstance(name, Path) or bool(Path(name).suffix) or os.path.exists(name)


def _first(n: int | None, loaded: LoadedTask, path: str | Path) -> LoadedTask:
    if n is None:
        return loaded
    if not 1 <= n <= len(loaded.pairs):
        raise InputError(
            f"{path} holds {len(loaded.pairs)} usable pairs. "
            f"Ask for 1 to {len(loaded.pairs)} of them, not {n}."
        )
    return LoadedTask(loaded.pairs[:n], loaded.dropped)
