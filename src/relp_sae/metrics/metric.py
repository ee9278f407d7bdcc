"""What a metric is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from relp_sae.tensors import Logits, PerExample, TokenIds


@dataclass(frozen=True)
class Metric:
    """(logits at the last position, answer, foil) -> one number per example; larger: more answer.

    ``reads`` says which logits count: of the whole vocabulary, or of the ``contrast`` of answer and
    foil alone, so that no others need to be computed.
    """

    value: Callable[[Logits, TokenIds, TokenIds], PerExample]
    reads: Literal["vocabulary", "contrast"]

    def __call__(self, logits: Logits, answer: TokenIds, foil: TokenIds) -> PerExample:
        return self.value(logits, answer, foil)
