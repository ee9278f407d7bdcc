"""Pearson's correlation."""

import numpy as np

from relp_sae.faithfulness.measures import Counts, Scores, Undefined, Value, measures

ROUNDING = 1e-13
"""A standard deviation below this share of the mean is rounding, not variation."""


@measures.register("pearson")
def pearson(estimate: Scores, truth: Scores) -> Value:
    """Pearson's r of estimate and truth over units; no unit, in [-1, 1], blind to scale and offset.

    Undefined: fewer than 3 units (two points always lie on a line), or a side is constant.
    Source: r = <x - mean x, y - mean y> / (|x - mean x| |y - mean y|).
    """
    return lambda counts: correlation(estimate, truth, counts)


def correlation(estimate: Scores, truth: Scores, counts: Counts) -> float:
    """The correlation of two lists in which entry i occurs ``counts[i]`` times.

    Raises:
        Undefined: fewer than 3 entries, or a side is constant.
    """
    if counts.sum() < 3:
        raise Undefined("fewer than 3 units")
    x, x_norm = _centred(estimate, counts, "estimate")
    y, y_norm = _centred(truth, counts, "truth")
    # Sums instead of dot products in this room: a threaded BLAS is far slower at these sizes.
    return float(np.clip((counts * x * y).sum() / (x_norm * y_norm), -1.0, 1.0))


def _centred(scores: Scores, counts: Counts, side: str) -> tuple[Scores, float]:
    """The scores less their mean, and the norm of that."""
    n = counts.sum()
    mean = (counts * scores).sum() / n
    centred = scores - mean
    norm = np.sqrt((counts * centred**2).sum())
    if norm <= ROUNDING * abs(mean) * np.sqrt(n):
        raise Undefined(f"constant {side}")
    return centred, norm
