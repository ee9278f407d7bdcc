"""The activations of all pairs, of which only the last ones asked for are in memory."""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from relp_sae.metrics.metric import Metric
from relp_sae.models import LanguageModel
from relp_sae.records import PromptPair, Site
from relp_sae.run.batches import batches
from relp_sae.run.measurement import PairActivations, measure_pairs
from relp_sae.run.recent import Recent

WINDOW_BYTES = 2**26
"""Pairs that are run together are at most so much of the activations apart. A constant: who is in
a batch with whom, and so the last bits, may not depend on the memory."""

Context = tuple[int, bool]
"""A pair, and whether it is the clean prompt of its two."""


class Activations:
    """Both runs of every pair, in the order of ``pairs``: ``[index]``, ``len`` and iteration.

    Pairs are run in ``batches`` of indices, which do not depend on what was asked for before, so
    that what was dropped comes back bit for bit. ``place`` says each pair's batch, and where in it.
    Kept are at most ``limit`` bytes, or one batch where that is more.

    Raises:
        InputError: at a request, when the model's metric is not a finite number.
    """

    def __init__(
        self,
        model: LanguageModel,
        metric: Metric,
        sites: list[Site],
        pairs: Sequence[PromptPair],
        limit: int,
    ) -> None:
        token = sum(model.width(site) for site in sites) * model.dtype.itemsize  # bytes
        self.batches = together = batches(pairs, WINDOW_BYTES // token)
        self.sites, self._length = sites, len(pairs)
        self.place = {
            pair: (batch, row)
            for batch, members in enumerate(together)
            for row, pair in enumerate(members)
        }

        def measure(batch: int) -> list[PairActivations]:
            return measure_pairs(model, metric, sites, [pairs[i] for i in together[batch]])

        self._measured = Recent(measure, _nbytes, limit)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, pair: int) -> PairActivations:
        batch, row = self.place[range(self._length)[pair]]
        return self._measured[batch][row]

    def entering(
        self, block: int, contexts: Sequence[Context]
    ) -> Float[Tensor, "prompt pos d_model"] | None:
        """The stream at the entry of a block in runs of one length; None if it is not recorded."""
        entry = Site(block, "resid_pre")
        if entry not in self.sites:
            return None
        seen = [(self[pair], clean) for pair, clean in contexts]
        return torch.stack([(one.clean if clean else one.corrupted)[entry] for one, clean in seen])

    def __iter__(self) -> Iterator[PairActivations]:
        return (self[pair] for pair in range(self._length))


def _nbytes(batch: list[PairActivations]) -> int:
    return sum(one.nbytes for one in batch)
