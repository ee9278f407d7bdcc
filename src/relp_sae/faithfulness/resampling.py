"""The prompt-cluster bootstrap: pairs are drawn with replacement, each with all its units.

Its intervals are the middle 95 % of the value over resamples (percentile method, Efron 1979) and
read "this dictionary, new prompts".
"""

from collections import Counter
from collections.abc import Iterable

import numpy as np
from jaxtyping import Float

from relp_sae.errors import InputError
from relp_sae.faithfulness.measures import Value, value_or_reason
from relp_sae.faithfulness.moments import Draws, Group, OfMoments, Resampled
from relp_sae.records import Interval

CONFIDENCE = 0.95
FEWEST_RESAMPLES = 100

PairValues = Float[np.ndarray, "pairs"]
"""One value per pair; NaN where there is none."""


def draw_pairs(pairs: int, resamples: int, seed: int) -> Draws:
    """Resamples of ``pairs`` pairs; the same seed draws the same, which keeps methods paired.

    Every row sums to the number of pairs.

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


def resample(measured: Value, draws: Draws, group: Group) -> Resampled:
    """The measure in every resample, in which unit i occurs ``draws[:, group[i]]`` times."""
    if isinstance(measured, OfMoments):
        return measured.resampled(draws, group)
    present, local = np.unique(group, return_inverse=True)
    drawn = draws[:, present].astype(np.float64)
    answers = [value_or_reason(measured, times[local]) for times in drawn]
    values, reasons = zip(*answers, strict=True)
    return np.array(values), np.array(reasons)


def mean_interval(values: PairValues, draws: Draws, note: str) -> Interval:
    """The mean over the pairs that have a value, with its bootstrap interval.

    ``note`` says why the other pairs have none. A single value has a mean but no interval.
    """
    usable = np.isfinite(values)
    if not usable.any():
        return Interval(np.nan, np.nan, np.nan, note)
    counts = draws[:, usable].astype(np.float64)
    resampled = quotient(counts @ values[usable], counts.sum(axis=1))
    return with_interval(float(values[usable].mean()), resampled, int(usable.sum()), note)


def quotient(
    total: Float[np.ndarray, "resamples"], weight: Float[np.ndarray, "resamples"]
) -> Float[np.ndarray, "resamples"]:
    """``total / weight``, NaN in a resample that holds no usable pair."""
    return np.divide(total, weight, out=np.full(len(total), np.nan), where=weight > 0)


def with_interval(
    value: float, resampled: Float[np.ndarray, "resamples"], pairs: int, note: str
) -> Interval:
    """``value`` with the middle 95 % of its resampled values, NaN ones left out.

    ``pairs`` is how many pairs the value rests on: below 2 there is nothing to resample.
    """
    if pairs < 2:
        return Interval(value, np.nan, np.nan, joined(note, "no interval: only one usable pair"))
    defined = resampled[np.isfinite(resampled)]
    if len(defined) == 0:
        return Interval(value, np.nan, np.nan, joined(note, "no interval: no usable resample"))
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(defined, [tail, 100 - tail])
    return Interval(value, float(low), float(high), note)


def left_out(reasons: Iterable[str], of: str) -> str:
    """What to say about those that have a reason: ``2 of 9 pairs left out: constant truth (2)``.

    An empty reason means that there is a value; with no other kind there is nothing to say.
    """
    counted = Counter(map(str, reasons))
    total = counted.total()
    del counted[""]
    if not counted:
        return ""
    listed = ", ".join(f"{reason} ({count})" for reason, count in counted.most_common())
    return f"{counted.total()} of {total} {of} left out: {listed}"


def joined(*notes: str) -> str:
    """The notes that say something, as one."""
    return "; ".join(note for note in notes if note)
