"""Split-half reliability of a truth's mean effect per feature, over random halves of the pairs."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Shaped
from scipy.stats import t

from relp_sae.faithfulness.moments import ROUNDING
from relp_sae.faithfulness.resampling import CONFIDENCE
from relp_sae.records import Interval

SPLITS = 200
"""Random halvings that are averaged."""

FEWEST_PAIRS = 4
"""With fewer, leaving one out leaves halves of a single pair."""

LARGEST_R = 1 - 1e-6
"""Correlations are clipped to this before Fisher's z, as in the contrasts."""

ByPair = Float[np.ndarray, "pairs features"]

Halves = Bool[np.ndarray, "splits pairs"]

Means = Float[np.ndarray, "splits features"]

Sides = tuple[tuple[Means, Means], tuple[Means, Means]]
"""Of the first and of the second half of each split: totals, and numbers of units."""


@dataclass(frozen=True, eq=False)
class FeatureSums:
    """Per pair and feature: the sum of the effects of its units, and how many units that are."""

    total: ByPair
    count: ByPair


def split_half(sums: FeatureSums, seed: int) -> Interval:
    """sqrt of the reliability of the truth's mean per feature; no unit, in [0, 1].

    The pairs are split at random into two halves, 200 times. In each half the mean effect of a
    feature is that over its units (a pair in which it does not differ has none); the two means are
    correlated over the features that both halves have. The mean of these r is corrected to the
    full number of pairs, 2r / (1 + r) (Spearman 1910, Brown 1910).

    The interval leaves out one pair at a time (jackknife, Tukey 1958, on Fisher's z of r). A
    bootstrap would either put copies of a pair into both halves, which then agree by themselves,
    or leave fewer pairs in each.
    NaN with the reason: fewer than 2 pairs, halves that never share 3 features with effects that
    vary, or a negative r.
    """
    pairs = len(sums.total)
    halves = _random_halves(pairs, seed)
    sides = _sides(sums, halves)
    r = _mean_correlation(sides) if pairs > 1 else np.nan
    if np.isnan(r):
        reason = "no two halves of the pairs share 3 features with effects that vary"
    elif r < 0:
        reason = f"negative reliability: two halves of the pairs correlate {r:.2f}"
    else:
        low, high = _jackknife(sides, sums, halves, r)
        note = "" if np.isfinite(low) else "no interval: too few pairs to leave one out"
        return Interval(_ceiling(r), low, high, note)
    return Interval(np.nan, np.nan, np.nan, reason if pairs > 1 else "fewer than 2 pairs")


def _random_halves(pairs: int, seed: int) -> Halves:
    """Which pairs are in the first half of each split; of an odd number it has one less."""
    order = np.random.default_rng(seed).random((SPLITS, pairs)).argsort(axis=1)
    return order < pairs // 2


def _sides(sums: FeatureSums, halves: Halves) -> Sides:
    """Per split and feature the total and the number of units of either half."""
    first, second = (half.astype(np.float64) for half in (halves, ~halves))
    return (first @ sums.total, first @ sums.count), (second @ sums.total, second @ sums.count)


def _without(pair: int, sides: Sides, sums: FeatureSums, halves: Halves) -> Sides:
    """The same with one pair left out of the half that it is in."""
    (one, n_one), (other, n_other) = sides
    first, second = (half[:, pair, None].astype(np.float64) for half in (halves, ~halves))
    total, count = sums.total[pair], sums.count[pair]
    return (
        (one - first * total, n_one - first * count),
        (other - second * total, n_other - second * count),
    )


def _mean_correlation(sides: Sides) -> float:
    """Mean over the splits of the correlation of the two halves."""
    (one, n_one), (other, n_other) = sides
    shared = (n_one > 0) & (n_other > 0)
    x, y = (_means(total, n, shared) for total, n in ((one, n_one), (other, n_other)))
    n = np.maximum(shared.sum(axis=1), 1)
    x_centred, x_varies = _centred(x, shared, n)
    y_centred, y_varies = _centred(y, shared, n)
    usable = (n >= 3) & x_varies & y_varies
    if not usable.any():
        return np.nan
    x_centred, y_centred = x_centred[usable], y_centred[usable]
    norms = np.sqrt((x_centred**2).sum(axis=1)) * np.sqrt((y_centred**2).sum(axis=1))
    return float(((x_centred * y_centred).sum(axis=1) / norms).mean())


def _means(total: Means, n: Means, shared: Bool[np.ndarray, "splits features"]) -> Means:
    """The mean effect per feature; 0 where the halves do not share it."""
    return np.divide(total, n, out=np.zeros_like(total), where=shared)


def _centred(
    means: Means, shared: Bool[np.ndarray, "splits features"], n: Shaped[np.ndarray, "splits"]
) -> tuple[Means, Bool[np.ndarray, "splits"]]:
    """The means less their mean over the shared features, and whether they vary."""
    middle = means.sum(axis=1) / n
    centred = np.where(shared, means - middle[:, None], 0.0)
    return centred, (centred**2).sum(axis=1) / n > (ROUNDING * middle) ** 2


def _jackknife(sides: Sides, sums: FeatureSums, halves: Halves, r: float) -> tuple[float, float]:
    """The ends of the ceiling's interval; NaN where leaving a pair out leaves nothing."""
    pairs = halves.shape[1]
    if pairs < FEWEST_PAIRS:
        return np.nan, np.nan
    left = np.array(
        [_mean_correlation(_without(pair, sides, sums, halves)) for pair in range(pairs)]
    )
    z = np.arctanh(np.clip(left, -LARGEST_R, LARGEST_R))
    error = np.sqrt((pairs - 1) / pairs * ((z - z.mean()) ** 2).sum())
    half = t.ppf((1 + CONFIDENCE) / 2, pairs - 1) * error
    centre = np.arctanh(min(r, LARGEST_R))
    return _ceiling(float(np.tanh(centre - half))), _ceiling(float(np.tanh(centre + half)))


def _ceiling(r: float) -> float:
    """sqrt of the Spearman-Brown reliability; 0 where that is negative."""
    return float(np.sqrt(2 * max(r, 0.0) / (1 + max(r, 0.0))))
