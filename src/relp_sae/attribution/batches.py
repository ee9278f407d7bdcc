"""Which pairs are scored together, so that the weights are read once for many prompts."""

from collections.abc import Callable, Sequence

import numpy as np

from relp_sae.attribution.method import Method
from relp_sae.models.longrope import longrope_limit
from relp_sae.records.scores import Base
from relp_sae.run import PairedRun
from relp_sae.run.readout import LOGITS

TOKENS = 512
"""At most so many changed tokens are run at once, unless a single pair needs more."""

READ = 2048
"""Of so many tokens at most, unless a pair needs more, attention reads keys and values: each row
has its copy of them."""


def batches(run: PairedRun, rows: int) -> list[list[int]]:
    """The kept pairs in batches, for ``rows`` prompts a pair in one pass.

    Decided by the pairs alone. They come in the order in which the run measures them, so that the
    activations of a batch are in memory together. Of each prompt the same number of last positions
    is run, so none may be shorter.
    """
    kept, found = set(run.kept), []
    for pair in (pair for together in run.activations.batches for pair in together):
        if pair in kept:
            if found and _go_together(run, [*found[-1], pair], rows):
                found[-1].append(pair)
            else:
                found.append([pair])
    return found


def _go_together(run: PairedRun, pairs: Sequence[int], rows: int) -> bool:
    lengths = {len(run.pairs[pair].clean_ids) for pair in pairs}
    changed = run.prefixes.changed(pairs)
    if changed > min(lengths) or (len(lengths) > 1 and longrope_limit(run.model) is not None):
        return False
    runs = rows * len(pairs)
    width = run.model.config.vocab_size if run.metric.reads == "vocabulary" else 0
    return runs * changed <= TOKENS and runs * max(lengths) <= READ and runs * width <= LOGITS


def scored_in_batches(run: PairedRun, method: Method, base: Base) -> Callable[[int], np.ndarray]:
    """A function that gives a kept pair's scores (units,).

    The first pair of a batch that is asked for brings the others of its batch along. Batches are
    always the same, so that a run which was stopped goes on as it began.
    """
    batch_of = {pair: batch for batch in batches(run, method.rows) for pair in batch}
    found: dict[int, np.ndarray] = {}

    def scores(pair: int) -> np.ndarray:
        if pair not in found:
            batch = batch_of[pair]
            found.update(zip(batch, method.scores(run, batch, base), strict=True))
        return found[pair]

    return scores
