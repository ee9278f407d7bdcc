"""The metric of a batch of pairs, from the stream behind the last block."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from relp_sae.run.measurement import answers_and_foils
from relp_sae.run.paired_run import PairedRun
from relp_sae.tensors import Logits, PerExample, TokenIds

LOGITS = 2**24
"""How many logits stand in memory at once, where the metric reads the whole vocabulary; in a batch
of estimates more, if a single pair's are."""


@dataclass(frozen=True)
class Readout:
    """Which logits the metric of some pairs needs, and where their answers and foils are in them.

    ``indices`` says which pairs of the run these are; every one has equally many rows, side by
    side. ``tokens`` are those whose logits are computed, None for the whole vocabulary.
    """

    run: PairedRun
    indices: tuple[int, ...]
    tokens: Int[Tensor, "vocab"] | None
    answer: TokenIds
    foil: TokenIds

    @property
    def pairs(self) -> int:
        """How many pairs there are."""
        return len(self.indices)

    def logits(self, last: Float[Tensor, "row d_model"]) -> Logits:
        """Logits from the last block's output at the last position."""
        return self.run.model.unembed(last, self.tokens)

    def metric(self, logits: Logits) -> PerExample:
        """The metric of each row."""
        rows = len(logits) // self.pairs
        answer, foil = (ids.repeat_interleave(rows) for ids in (self.answer, self.foil))
        return self.run.metric(logits, answer, foil)


def readout(run: PairedRun, pairs: Sequence[int]) -> Readout:
    """What the run's metric reads for some of its pairs."""
    answers, foils = answers_and_foils(run.model, [run.pairs[pair] for pair in pairs])
    if run.metric.reads == "vocabulary":
        return Readout(run, tuple(pairs), None, answers, foils)
    first = torch.arange(len(pairs), device=answers.device)
    tokens = torch.cat([answers, foils])
    return Readout(run, tuple(pairs), tokens, first, len(pairs) + first)
