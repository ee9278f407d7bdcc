"""The agreement over all units, from the effects of some of them.

Known of every unit: its score x and the length of its step. Measured: the effects y of the N
patched ones, all of the top stratum and a uniform sample of the rest. Unknown are the residuals
e = y - b x of the others (b: the slope of the top stratum through the origin, fixed before the
random draw). Effects have heavy tails: a few units carry most of sum(e^2), and a sample of the
rest may hold none of them. An interval that looks at the sample alone is then too narrow, so what
is known of the unpatched units is used twice, and the worse is believed.

*Borrowing.* In each resample every unpatched unit borrows the residual of one of its nearest
patched neighbours, scaled by the ratio of their sizes (a patch works in proportion to its length,
to first order). Neighbours are near in *step length* or near in *|score|*: the one sees units that
the estimate overlooks, the other those whose scores are wrong. Each neighbour is drawn in
proportion to the units that it stands for (1 in the top stratum, M/m in the sample of the rest)
times an exponential weight, drawn anew in each resample (Bayesian bootstrap, Rubin 1981; of a
finite population, Lo 1988: what was patched stays as measured, which is the finite-population
correction).

*Phantom.* A share of the unpatched units, exponential with mean 1/m, has instead twice the largest
scaled residual of its neighbours: the units that the sample has missed. (After Gaffke 2005: one
observation more, at the upper bound, makes a Bayesian bootstrap an upper bound of a mean. Here the
upper bound is an assumption: no unit outside the sample is more than twice as far off, for its
size, as the worst that was seen near it. benchmarks/certificate_coverage.py measures how often the
interval covers.)

The interval spans the central 95 % of all four (two kinds of size, with and without phantom).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from relp_sae.records import Interval

RESAMPLES = 400
NEIGHBOURS = 10
TAIL = 2.5  # per cent on each side

PHANTOM = 2.0
"""How many times as bad as the worst neighbour the unit may be that the sample has missed."""

SMALLEST = 1e-3
"""Sizes below this share of the root mean square count as that share: no division by dust."""

Values = Float[np.ndarray, "units"]


@dataclass(frozen=True, eq=False)
class Patched:
    """All units in one order, and which of them were patched.

    ``score`` and ``step`` (a length, in any unit) are of all units. ``rows`` are the patched ones,
    the ``top`` units of the top stratum first, and ``effect`` what was measured there.
    """

    score: Values
    step: Values
    rows: Int[np.ndarray, "patched"]
    top: int
    effect: Float[np.ndarray, "patched"]

    @property
    def drawn(self) -> int:
        """The number of random units, m."""
        return len(self.rows) - self.top

    @property
    def stands_for(self) -> Float[np.ndarray, "patched"]:
        """How many units each patched one stands for: 1, or M/m."""
        rest = len(self.score) - self.top
        return np.repeat([1.0, rest / max(self.drawn, 1)], [self.top, self.drawn])


@dataclass(frozen=True, eq=False)
class Lenders:
    """The residuals per size of the patched units, ascending by size, and who borrows where.

    Unpatched unit i borrows from one of ``first[i]`` up to but without ``end[i]``, times
    ``size[i]``. A residual is positive where the effect is larger than b * score in the score's
    own direction.
    """

    residual: Float[np.ndarray, "patched"]
    weight: Float[np.ndarray, "patched"]
    first: Int[np.ndarray, "unpatched"]
    end: Int[np.ndarray, "unpatched"]
    size: Float[np.ndarray, "unpatched"]


def agreement_interval(patched: Patched, seed: int) -> Interval:
    """Pearson's r of score and effect over all units, with the interval described above.

    ``value`` is the median of the resamples without phantom. With every unit patched it is exact
    and the interval has no width. NaN with a reason where the scores or the effects are constant.
    """
    reason = _undefined(patched)
    if reason:
        return Interval(np.nan, np.nan, np.nan, reason)
    if len(patched.rows) == len(patched.score):
        r = float(_correlation(patched, np.zeros((1, 3)))[0])
        return Interval(r, r, r)
    plain, ends = [], []
    for size in (patched.step, np.abs(patched.score)):
        sums = np.array(list(_resampled_sums(patched, size, np.random.default_rng(seed))))
        without, with_phantom = (_correlation(patched, sums[:, which]) for which in (0, 1))
        plain.append(without)
        ends += [np.percentile(r, [TAIL, 100 - TAIL]) for r in (without, with_phantom)]
    low, high = np.min(ends), np.max(ends)
    return Interval(float(np.median(plain)), float(low), float(high))


def _undefined(patched: Patched) -> str:
    if len(patched.score) < 3:
        return "fewer than 3 units"
    if np.ptp(patched.score) == 0:
        return "constant scores"
    return "constant effects" if np.ptp(patched.effect) == 0 else ""


def _slope(patched: Patched) -> float:
    """b: least squares through the origin in the top stratum, which holds the largest |scores|."""
    x, y = patched.score[patched.rows[: patched.top]], patched.effect[: patched.top]
    return float((x * y).sum() / (x * x).sum())


def _resampled_sums(
    patched: Patched, size: Values, generator: np.random.Generator
) -> Iterator[Float[np.ndarray, "2 3"]]:
    """Sum of e, x e and e^2 over the unpatched units in each resample, without and with phantom."""
    x = np.delete(patched.score, patched.rows)
    lenders = _lenders(patched, size)
    residual, weight, first, end = lenders.residual, lenders.weight, lenders.first, lenders.end
    towards = np.where(x < 0, -1.0, 1.0) * lenders.size
    windows = np.stack([first, end], axis=1).ravel()
    worst = PHANTOM * np.maximum.reduceat(np.append(np.abs(residual), 0.0), windows)[::2]
    for _ in range(RESAMPLES):
        drawn = np.cumsum(weight * generator.exponential(size=len(weight)))
        before = np.concatenate([[0.0], drawn])
        place = before[first] + (before[end] - before[first]) * generator.random(len(x))
        lender = np.clip(np.searchsorted(drawn, place, side="right"), first, end - 1)
        e = towards * residual[lender]
        share = min(generator.exponential() / max(patched.drawn, 1), 1.0)
        missed = generator.random(len(x)) < share
        sign = generator.choice([-1.0, 1.0])
        phantom = np.where(missed, towards * sign * worst, e)
        yield np.array([[one.sum(), (x * one).sum(), (one * one).sum()] for one in (e, phantom)])


def _lenders(patched: Patched, size: Values) -> Lenders:
    mean_square = float((size * size).mean())
    size = np.maximum(size, SMALLEST * np.sqrt(mean_square)) if mean_square else size + 1.0
    x, own = patched.score[patched.rows], size[patched.rows]
    order = np.argsort(own, kind="stable")
    residual = (patched.effect - _slope(patched) * x) * np.where(x < 0, -1.0, 1.0) / own
    borrowing = np.delete(size, patched.rows)
    first, end = nearest(np.log(own[order]), np.log(borrowing), NEIGHBOURS)
    return Lenders(residual[order], patched.stands_for[order], first, end, borrowing)


def nearest(
    ascending: Float[np.ndarray, "known"], wanted: Float[np.ndarray, "asked"], count: int
) -> tuple[Int[np.ndarray, "asked"], Int[np.ndarray, "asked"]]:
    """Where the ``count`` nearest of the ascending values stand: from first up to end.

    Values equal to one of them are taken in as well, so that there may be more.

    >>> first, end = nearest(np.array([0.0, 1.0, 5.0, 5.0]), np.array([0.2, 6.0]), 1)
    >>> first.tolist(), end.tolist()
    ([0, 2], [1, 4])
    """
    known = len(ascending)
    count = min(count, known)
    low = np.clip(np.searchsorted(ascending, wanted) - count, 0, known - count)
    for _ in range(count):  # move the window up while that brings it nearer
        up = np.minimum(low + count, known - 1)
        nearer = ascending[up] - wanted < wanted - ascending[low]
        low = low + (nearer & (low + count < known))
    first = np.searchsorted(ascending, ascending[low], side="left")
    end = np.searchsorted(ascending, ascending[low + count - 1], side="right")
    return first, end


def _correlation(
    patched: Patched, sums: Float[np.ndarray, "resamples 3"]
) -> Float[np.ndarray, "resamples"]:
    """Pearson's r over all units, given sum(e), sum(x e) and sum(e^2) of the unpatched ones.

    Scores are centred first, over all units; effects of unpatched units are b x + e.
    """
    b, n = _slope(patched), len(patched.score)
    x, y = patched.score[patched.rows], patched.effect
    rest = np.delete(patched.score, patched.rows)
    e, xe, ee = sums.T
    mean_x = float(patched.score.mean())
    total = y.sum() + b * rest.sum() + e
    product = (x * y).sum() + b * (rest * rest).sum() + xe
    square = (y * y).sum() + b * b * (rest * rest).sum() + 2 * b * xe + ee
    var_x = ((patched.score - mean_x) ** 2).sum()
    var_y = np.maximum(square - total * total / n, np.finfo(float).tiny)
    return np.clip((product - mean_x * total) / np.sqrt(var_x * var_y), -1.0, 1.0)
