"""How many rows of tokens are computed at once, for a run's budget of memory."""

from relp_sae.errors import InputError
from relp_sae.models.memory import row_bytes
from relp_sae.run import PairedRun
from relp_sae.run.memory import BATCH

ROWS = {"cpu": 2048, "cuda": 65536}
"""Rows beyond which matrix products gain nothing more. On a CPU larger batches leave the cache."""


def longest_batch(run: PairedRun, length: int) -> int:
    """The most rows (tokens) of prompts of ``length`` tokens that one batch may have.

    Raises:
        InputError: the run's budget does not hold one prompt and the unchanged run beside it.
    """
    model = run.model
    row, least = row_bytes(model, length), 2 * length
    rows = int(BATCH * run.budget) // row
    if rows < least:
        raise InputError(
            f"A memory budget of {run.budget / 1e6:.3g} MB is too small: a prompt of {length} "
            f"tokens of {model.name} needs {least * row / BATCH / 1e6:.1f} MB. Give --memory "
            "(memory= of PairedRun) at least that."
        )
    return max(min(rows, ROWS.get(model.device.type, max(ROWS.values()))), least)
