"""How faithful is an estimate, judged from exact patches of a few of its units?

Half of the budget goes to the units with the largest |score|. The other half is drawn at random
from the rest with known chances: half of it evenly, half in proportion to the fourth power of the
relative step. What an estimate gets wrong is curvature, which grows with the step, so that a few
units with large steps and small scores decide the agreement; drawn evenly they would be missed,
and the interval would be far too short (benchmarks/certificate_coverage.py).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from relp_sae.errors import InputError
from relp_sae.faithfulness.resampling import CONFIDENCE
from relp_sae.records import FeatureScores, Interval
from relp_sae.records.certificate import Certificate, Recall

SMALLEST_BUDGET = 16
POWER = 4
EVEN = 0.5
TOPS = (10, 30, 100, 300, 1000)


@dataclass(frozen=True, eq=False)
class Plan:
    """Which units to patch: ``rows`` of the record, and the chance that each had to be drawn.

    The chance is 1 for the top units. ``least`` is the smallest chance of any unit drawn or not.
    """

    rows: Int[np.ndarray, "chosen"]
    chance: Float[np.ndarray, "chosen"]
    least: float


def require_budget(budget: int) -> None:
    """Check that a budget is large enough to say anything.

    Raises:
        InputError: below 16 patches.
    """
    if budget < SMALLEST_BUDGET:
        raise InputError(f"A certificate needs at least {SMALLEST_BUDGET} patches, got {budget}.")


def plan(scores: FeatureScores, budget: int, seed: int) -> Plan:
    """Choose ``budget`` units of an estimate, or all of them if there are no more.

    Raises:
        InputError: a budget below 16, or a score that is not finite.
    """
    require_budget(budget)
    compared = np.flatnonzero(~scores.units.is_error)
    size = np.abs(scores.score[compared])
    if not np.isfinite(size).all():
        raise InputError(f"'{scores.label}' has scores that are NaN or infinite.")
    ranked = compared[np.argsort(-size, kind="stable")]
    if budget >= len(ranked):
        return Plan(ranked, np.ones(len(ranked)), 1.0)
    top, rest = ranked[: (budget + 1) // 2], ranked[(budget + 1) // 2 :]
    chance = inclusion(scores.units.relative_step[rest], budget - len(top))
    drawn = _drawn(chance, budget - len(top), np.random.default_rng(seed))
    return Plan(
        np.concatenate([top, rest[drawn]]),
        np.concatenate([np.ones(len(top)), chance[drawn]]),
        float(chance.min()),
    )


def inclusion(step: Float[np.ndarray, "rest"], count: int) -> Float[np.ndarray, "rest"]:
    """Chances that sum to ``count``, half even and half as step^4; at most 1 each."""
    weight = (step / step.max()) ** POWER if step.max() > 0 else np.ones(len(step))
    share = EVEN / len(step) + (1 - EVEN) * weight / weight.sum()
    chance = np.zeros(len(step))
    open_ = np.ones(len(step), bool)
    while True:
        left = count - np.count_nonzero(~open_)
        proposed = left * share[open_] / share[open_].sum()
        if not (proposed >= 1).any():
            chance[open_] = proposed
            return chance
        certain = np.flatnonzero(open_)[proposed >= 1]
        chance[certain], open_[certain] = 1.0, False


def _drawn(
    chance: Float[np.ndarray, "rest"], count: int, draw: np.random.Generator
) -> Int[np.ndarray, "count"]:
    """``count`` units by Pareto sampling: a fixed number, with these chances (Rosén 1997)."""
    uniform = draw.random(len(chance))
    odds = np.divide(chance, 1 - chance, out=np.full(len(chance), np.inf), where=chance < 1)
    return np.argsort(uniform / (1 - uniform) / odds, kind="stable")[:count]


def certificate(
    estimate: FeatureScores, truth: str, chosen: Plan, effects: Float[np.ndarray, "chosen"]
) -> Certificate:
    """What the effects of the chosen units say about all units of the estimate.

    Raises:
        InputError: an effect is not finite, or there are more or fewer than chosen units.
    """
    if len(effects) != len(chosen.rows):
        raise InputError(f"{len(effects)} effects for {len(chosen.rows)} chosen units.")
    if not np.isfinite(effects).all():
        raise InputError(f"Some of the {len(effects)} effects patched are NaN or infinite.")
    scores = estimate.score[~estimate.units.is_error]
    weight = 1 / chosen.chance
    return Certificate(
        estimate=estimate.name,
        base=estimate.base,
        truth=truth,
        units=len(scores),
        patched=len(effects),
        pearson=_pearson(scores, estimate.score[chosen.rows], effects, weight),
        recalls=tuple(
            Recall(k, _recall(k, np.abs(effects), chosen)) for k in TOPS if k <= len(effects)
        ),
    )


def _pearson(
    scores: Float[np.ndarray, "units"],
    x: Float[np.ndarray, "chosen"],
    y: Float[np.ndarray, "chosen"],
    weight: Float[np.ndarray, "chosen"],
) -> Interval:
    """Pearson over all units, from the scores of all and the effects of the chosen ones.

    A difference estimator: y = b x + e with the sums of x known and those of e weighted by 1 /
    chance (Särndal, Swensson and Wretman 1992, chapter 6). The interval is by linearisation on
    Fisher's z, with Satterthwaite's degrees of freedom: where one unit carries the variance, they
    are few, and the interval wide.
    """
    n, mean_x, var_x = len(scores), scores.mean(), scores.var()
    if np.ptp(scores) == 0 or np.ptp(y) == 0:
        reason = "constant estimate" if np.ptp(scores) == 0 else "constant effects"
        return Interval(np.nan, np.nan, np.nan, reason)
    b = (weight * x) @ y / ((weight * x) @ x) if np.any(x) else 0.0
    e = y - b * x
    mean_y = b * mean_x + weight @ e / n
    xy = b * (scores @ scores) / n + weight @ (x * e) / n
    yy = b * b * (scores @ scores) / n + (2 * b * (weight @ (x * e)) + weight @ (e * e)) / n
    var_y = yy - mean_y**2
    if not var_y > 0:
        return Interval(np.nan, np.nan, np.nan, "the effects hardly vary")
    limit = 1 - 1e-12
    r = float(np.clip((xy - mean_x * mean_y) / np.sqrt(var_x * var_y), -limit, limit))
    if len(x) == n:
        return Interval(r, r, r)

    def influence(effect: np.ndarray) -> np.ndarray:
        a, c = (x - mean_x) / np.sqrt(var_x), (effect - mean_y) / np.sqrt(var_y)
        return (a * c - r / 2 * (a * a + c * c)) / (1 - r * r) / n

    sampled = (1 - 1 / weight) * (weight * (influence(y) - influence(b * x))) ** 2
    variance = sampled.sum()
    if variance == 0:
        return Interval(r, np.nan, np.nan, "no interval: every sampled unit is on the line")
    freedom = max(variance**2 / (sampled**2).sum() - 1, 1.0)
    reach = stats.t.ppf((1 + CONFIDENCE) / 2, freedom) * np.sqrt(variance)
    low, high = np.tanh([np.arctanh(r) - reach, np.arctanh(r) + reach])
    return Interval(r, float(low), float(high))


def _recall(k: int, size: Float[np.ndarray, "chosen"], chosen: Plan) -> float:
    """A lower bound on the share of the true top k among the chosen units.

    Let tau be the k-th largest |effect| that was seen. Every missed member of the true top k is
    larger than tau; if there were T such units outside the certain ones, each had a chance of at
    least ``least`` to be drawn, and no more than x were: T is bounded as by Clopper and Pearson.
    """
    if chosen.least >= 1:
        return 1.0
    tau = np.sort(size)[-k]
    seen = int(np.count_nonzero(size[chosen.chance < 1] > tau))
    # The smallest T at which seeing so few has a chance of 5 % or less, found by bisection.
    low, high = seen, seen + 1
    while stats.binom.cdf(seen, high, chosen.least) > 1 - CONFIDENCE:
        high *= 2
    while high - low > 1:
        middle = (low + high) // 2
        likely = stats.binom.cdf(seen, middle, chosen.least) > 1 - CONFIDENCE
        low, high = (middle, high) if likely else (low, middle)
    return max(0.0, (k - (low - seen)) / k)
