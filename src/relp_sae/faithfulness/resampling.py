"""The prompt-cluster bootstrap: pairs are drawn with replacement, each with all its units.

Its intervals are the middle 95 % of the value over resamples (percentile method, Efron 1979) and
read "this dictionary, new prompts".
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from relp_sae.errors import InputError
from relp_sae.records import Interval

CONFIDENCE = 0.95
FEWEST_RESAMPLES = 100

Draws = Int[np.ndarray, "resamples pairs"]
"""How often each pair is drawn in each resample; every row sums to the number of pairs."""

PairValues = Float[np.ndarray, "pairs"]
"""One value per pair; NaN where there is none."""


def draw_pairs(pairs: int, resamples: int, seed: int) -> Draws:
    """Resamples of ``pairs`` pairs; the same seed draws the same, which keeps methods paired.

    Raises:
        InputError: too few resamples for the ends of an interval.
    """
    if resamples < FEWEST_RESAMPLES:
        raise InputError(
            f"A bootstrap interval needs at least {FEWEST_RESAMPLES} resamples, got {resamples}. "
            "Use 2000."
        )
    chance = np.full(pairs, 1 / pairs)
    return np.random.default_rng(seed).multinomial(pairs, chance, size=resamples)


def mean_interval(values: PairValues, draws: Draws, note: str) -> Interval:
    """The mean over the pairs that have a value, with its bootstrap interval.

    ``note`` says why the other pairs have none. A single value has a mean but no interval.
    """
    usable = np.isfinite(values)
    if not usable.any():
        return Interval(np.nan, np.nan, np.nan, note)
    counts = draws[:, usable]
    totals = counts.sum(axis=1)
    # Undefined where a resample holds no usable pair.
    resampled = np.divide(
        counts @ values[usable], totals, out=np.full(len(draws), np.nan), where=totals > 0
    )
    return with_interval(float(values[usable].mean()), resampled, int(usable.sum()), note)


def with_interval(
    value: float, resampled: Float[np.ndarray, "resamples"], pairs: int, note: str
) -> Interval:
    """``value`` with the middle 95 % of its resampled values, NaN ones left out.

    ``pairs`` is how many pairs the value rests on: below 2 there is nothing to resample.
    """
    if pairs < 2:
        return Interval(value, np.nan, np.nan, joined(note, "no interval: only one usable pair"))
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.nanpercentile(resampled, [tail, 100 - tail])
    return Interval(value, float(low), float(high), note)


def left_out(reasons: Sequence[str], of: str) -> str:
    """What to say about those that have a reason: ``2 of 9 pairs left out: constant truth (2)``.

    An empty reason means that there is a value; with no other kind there is nothing to say.
    """
    given = Counter(reason for reason in reasons if reason)
    if not given:
        return ""
    listed = ", ".join(f"{reason} ({count})" for reason, count in given.most_common())
    return f"{given.total()} of {len(reasons)} {of} left out: {listed}"


def joined(*notes: str) -> str:
    """The notes that say something, as one."""
    return "; ".join(note for note in notes if note)
