"""What a task is, and the list of them."""

from typing import Protocol

from transformers import PreTrainedTokenizerBase

from relp_sae.records.pairs import PromptPair
from relp_sae.registry import Registry


class Task(Protocol):
    """Makes ``n`` different prompt pairs for a tokenizer; the same seed makes the same pairs."""

    def __call__(self, tokenizer: PreTrainedTokenizerBase, n: int, seed: int) -> list[PromptPair]:
        """Raises InputError where the tokenizer or the task cannot give ``n`` pairs."""
        ...


tasks: Registry[Task] = Registry("task", "relp_sae.tasks")
