"""Held-out text: read before training, and left out of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from relp_sae.errors import InputError
from relp_sae.models import LanguageModel
from relp_sae.tensors import Tokens
from relp_sae.training.config import TrainingConfig
from relp_sae.training.text import documents, pack


@dataclass(frozen=True)
class HeldOut:
    """Contexts of shape (1, context) that quality is measured on, and the documents they are of."""

    contexts: list[Tokens]
    documents: frozenset[str]

    def others(self, found: Iterator[str]) -> Iterator[str]:
        """Those documents that are not held out."""
        return (one for one in found if one not in self.documents)


def read_held_out(model: LanguageModel, config: TrainingConfig) -> HeldOut:
    """The first ``held_out_tokens`` of the held-out source.

    Raises:
        InputError: it has fewer.
    """
    used: set[str] = set()

    def noted() -> Iterator[str]:
        # Generated text needs another seed, or it would be the text that the SAE is trained on.
        for document in documents(config.held_out, model, -1 - config.seed):
            used.add(document)
            yield document

    wanted = max(1, config.held_out_tokens // config.context)
    contexts = list(islice(pack(noted(), model.tokenizer, config.context), wanted))
    if len(contexts) < wanted:
        raise InputError(
            f"{config.held_out} has {len(contexts)} contexts of {config.context} tokens, fewer "
            f"than the {config.held_out_tokens:,} tokens of --held-out-tokens. Give more text, or "
            "lower it."
        )
    return HeldOut(contexts, frozenset(used))
