"""What loading a task gives."""

from dataclasses import dataclass
from typing import NamedTuple

from relp_sae.records import PromptPair


class BadLine(NamedTuple):
    """A line of a pairs file that was left out: its number, counted from 1, and why."""

    number: int
    reason: str


@dataclass(frozen=True)
class LoadedTask:
    """The pairs to work on, and the lines of the user's file that were left out."""

    pairs: list[PromptPair]
    dropped: tuple[BadLine, ...] = ()
