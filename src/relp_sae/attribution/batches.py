"""Which pairs are scored together, so that the weights are read once for many prompts."""

from collections.abc import Callable
from itertools import groupby

import numpy as np

from relp_sae.attribution.method import Method
from relp_sae.records.scores import Base
from relp_sae.run import PairedRun

TOKENS = 512
"""At most so many changed tokens are run at once, unless a single pair needs more."""


def batches(run: PairedRun, rows: int) -> list[list[int]]:
    """The kept pairs in batches of equal token length, for ``rows`` prompts a pair in one pass.

    Decided by the pairs alone. They come in the order in which the run measures them, so that the
    activations of a batch are in memory together.
    """
    kept = set(run.kept)
    order = [pair for together in run.activations.batches for pair in together if pair in kept]
    found: list[list[int]] = []
    for length, alike in groupby(order, lambda pair: len(run.pairs[pair].clean_ids)):
        batch: list[int] = []
        for pair in alike:
            changed = length - run.prefixes.start([*batch, pair])
            if batch and rows * changed * (len(batch) + 1) > TOKENS:
                found.append(batch)
                batch = []
            batch.append(pair)
        found.append(batch)
    return found


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
