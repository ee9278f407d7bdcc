"""What a task is, and the list of them. Imports nothing heavy, so that the list loads at once."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from relp_sae.records.pairs import PromptPair
from relp_sae.registry import Registry

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Task(Protocol):
    """Makes ``n`` different prompt pairs for a tokenizer; the same seed makes the same pairs."""

    def __call__(self, tokenizer: "PreTrainedTokenizerBase", n: int, seed: int) -> list[PromptPair]:
        """Raises InputError where the task cannot make ``n`` pairs for this tokenizer."""
        ...


tasks: Registry[Task] = Registry("task", "relp_sae.tasks")


class BadLine(NamedTuple):
    """A line of a pairs file that was left out: its number, counted from 1, and why."""

    number: int
    reason: str


@dataclass(frozen=True)
class LoadedTask:
    """The pairs to work on, and the lines of the user's file that were left out."""

    pairs: list[PromptPair]
    dropped: tuple[BadLine, ...] = ()
