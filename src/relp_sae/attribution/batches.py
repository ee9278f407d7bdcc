"""Which pairs are scored together, so that the weights are read once for many prompts."""

from collections.abc import Callable, Sequence

import numpy as np

from relp_sae.attribution.method import Method
from relp_sae.models.longrope import longrope_limit
from relp_sae.models.memory import key_bytes, row_bytes
from relp_sae.records.scores import Base
from relp_sae.run import PairedRun
from relp_sae.run.memory import BATCH
from relp_sae.run.readout import LOGITS

TOKENS = 512
"""Changed tokens beyond which a batch gains nothing more."""


def batches(run: PairedRun, rows: int) -> list[list[int]]:
    """The kept pairs in batches, for ``rows`` prompts a pair in one pass.

    Decided by the pairs and the run's memory alone; a pair that needs more than that, or more than
    ``TOKENS``, is a batch of its own. They come in the order in which the run measures them, so
    that the activations of a batch are in memory together. Of each prompt the same number of last
    positions is run, so none may be shorter.
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
    runs, needed = rows * len(pairs), _run_bytes(run, changed, max(lengths))
    width = run.model.config.vocab_size if run.metric.reads == "vocabulary" else 0
    within_memory = runs * needed <= BATCH * run.budget and runs * width <= LOGITS
    return within_memory and runs * changed <= TOKENS


def _run_bytes(run: PairedRun, changed: int, length: int) -> int:
    """What a pass forward and back holds of one of its runs: of every block what it makes, and
    the keys and values that attention reads, also repeated for every head of queries."""
    model = run.model
    read = key_bytes(model) + key_bytes(model, model.config.num_attention_heads)
    blocks = model.n_layers - run.recorded[0].layer
    return blocks * (changed * row_bytes(model, length) + length * read)


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
