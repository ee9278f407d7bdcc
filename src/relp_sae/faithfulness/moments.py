"""Means, variances and covariance of estimate and truth, of the units or of many resamples.

Several measures are functions of these five numbers. They are sums over units, so that thousands
of bootstrap resamples cost one matrix product.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from relp_sae.faithfulness.measures import Counts, Scores, Undefined

ROUNDING = 1e-13
"""A standard deviation below this share of the mean is rounding, not variation."""

CANCELLED = 1e-12
"""A variance below this share of the mean square, from which it is a difference, is rounding."""

Stat = float | Float[np.ndarray, "resamples"]

Resampled = tuple[Float[np.ndarray, "resamples"], Shaped[np.ndarray, "resamples"]]
"""A value per resample, and why it is NaN ('' where it is not)."""

Draws = Int[np.ndarray, "resamples groups"]
"""How often each group of units (a pair, a feature) is drawn in each resample."""

Group = Int[np.ndarray, "units"]
"""The group of each unit: a column of Draws."""


@dataclass(frozen=True)
class Moments:
    """Of x (the estimate) and y (the truth); variances and covariance are per unit (1/n)."""

    mean_x: Stat
    mean_y: Stat
    var_x: Stat
    var_y: Stat
    cov: Stat


def moments(x: Scores, y: Scores, counts: Counts, among: str = "units") -> Moments:
    """The moments of two lists in which entry i occurs ``counts[i]`` times.

    Raises:
        Undefined: fewer than 3 entries (named ``among``), or a side is constant.
    """
    n = float(counts.sum())
    if n < 2.5:  # counts are whole numbers, or sum to one up to rounding
        raise Undefined(f"fewer than 3 {among}")
    x, mean_x, var_x = _centred(x, counts, n, "estimate")
    y, mean_y, var_y = _centred(y, counts, n, "truth")
    # Sums instead of dot products in this room: a threaded BLAS is far slower at these sizes.
    return Moments(mean_x, mean_y, var_x, var_y, float((counts * x * y).sum()) / n)


def _centred(scores: Scores, counts: Counts, n: float, side: str) -> tuple[Scores, float, float]:
    """The scores less their mean, the mean, and the variance."""
    mean = float((counts * scores).sum()) / n
    centred = scores - mean
    variance = float((counts * centred**2).sum()) / n
    if np.sqrt(variance) <= ROUNDING * abs(mean):
        raise Undefined(f"constant {side}")
    return centred, mean, variance


@dataclass(frozen=True, eq=False)
class OfMoments:
    """A Value that is a function of the moments of ``x`` and ``y``.

    ``rows`` are the units that x and y are about, where they are not all; the reason for having
    no value calls them ``among``.
    """

    x: Float[np.ndarray, "judged"]
    y: Float[np.ndarray, "judged"]
    finish: Callable[[Moments], Stat]
    rows: Bool[np.ndarray, "units"] | None = None
    among: str = "units"

    def __call__(self, counts: Counts) -> float:
        judged = counts if self.rows is None else counts[self.rows]
        return float(self.finish(moments(self.x, self.y, judged, self.among)))

    def resampled(self, draws: Draws, group: Group) -> Resampled:
        """The value of every resample, in which unit i occurs ``draws[:, group[i]]`` times."""
        group = group if self.rows is None else group[self.rows]
        found, reasons = resampled_moments(self.x, self.y, draws, group)
        reasons = np.where(reasons == "few", f"fewer than 3 {self.among}", reasons)
        values = np.where(reasons == "", self.finish(found), np.nan)
        return values, reasons


def resampled_moments(
    x: Scores, y: Scores, draws: Draws, group: Group
) -> tuple[Moments, Shaped[np.ndarray, "resamples"]]:
    """The moments of every resample, and why one has none: ``few``, ``constant estimate``, ...

    Both sides are standardised by all units first, which keeps the sums of squares exact.
    """
    if len(x) == 0:
        nothing = np.full(len(draws), np.nan)
        return Moments(*[nothing] * 5), np.full(len(draws), "few")
    x, shift_x, scale_x, fixed_x = _standardised(x)
    y, shift_y, scale_y, fixed_y = _standardised(y)
    present, local = np.unique(group, return_inverse=True)
    sums = [np.bincount(local, term) for term in (np.ones(len(x)), x, y, x * x, y * y, x * y)]
    n, *totals = np.stack(sums) @ draws.T[present].astype(np.float64)
    mean_x, mean_y, square_x, square_y, product = totals / np.where(n > 0, n, np.nan)
    var_x, var_y = square_x - mean_x**2, square_y - mean_y**2
    reasons = np.select(
        [n < 3, fixed_x | _is_rounding(var_x, square_x), fixed_y | _is_rounding(var_y, square_y)],
        ["few", "constant estimate", "constant truth"],
        "",
    )
    var_x, var_y = (np.where(reasons == "", variance, np.nan) for variance in (var_x, var_y))
    found = Moments(
        mean_x=shift_x + scale_x * mean_x,
        mean_y=shift_y + scale_y * mean_y,
        var_x=scale_x**2 * var_x,
        var_y=scale_y**2 * var_y,
        cov=scale_x * scale_y * (product - mean_x * mean_y),
    )
    return found, reasons


def _standardised(scores: Scores) -> tuple[Scores, float, float, bool]:
    """The scores at mean 0 and variance 1, their mean and spread, and whether they are constant."""
    shift, spread = float(scores.mean()), float(scores.std())
    fixed = spread <= ROUNDING * abs(shift)
    scale = 1.0 if fixed else spread
    return (scores - shift) / scale, shift, scale, fixed


def _is_rounding(
    variance: Float[np.ndarray, "resamples"], square: Float[np.ndarray, "resamples"]
) -> Bool[np.ndarray, "resamples"]:
    return variance <= CANCELLED * square
