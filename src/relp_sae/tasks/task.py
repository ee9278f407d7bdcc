"""What a task is, and the list of them. Imports nothing heavy, so that the list loads at once."""

from typing import TYPE_CHECKING, Protocol

from relp_sae.registry import Registry

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from relp_sae.records import PromptPair


class Task(Protocol):
    """Makes ``n`` different prompt pairs for a tokenizer; the same seed makes the same pairs."""

    def __call__(
        self, tokenizer: "PreTrainedTokenizerBase", n: int, seed: int
    ) -> "list[PromptPair]":
        """Raises InputError where the task cannot make ``n`` pairs for this tokenizer."""
        ...


tasks: Registry[Task] = Registry("task", "relp_sae.tasks")
