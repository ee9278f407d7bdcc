"""Where which method wins: agreement by size of step, by site, by scale, and by size of set.

An estimate is linear in the step: for a step t times as long it predicts t times its score, and for
a set of units the sum of their scores. The truth is what the model does.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from relp_sae.errors import InputError
from relp_sae.faithfulness.alignment import align
from relp_sae.faithfulness.measures import Sample, Undefined, measures
from relp_sae.faithfulness.moments import ROUNDING
from relp_sae.faithfulness.resampling import draw_pairs, mean_interval, resample, with_interval
from relp_sae.records import ERROR_UNIT, FeatureScores, Interval, RegimePoint, Units

EDGES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, np.inf)
"""Relative steps at which one bin ends and the next begins, fixed in advance."""

FEWEST = 3
"""Units of a pair below which the pair has no correlation."""

BY_SET = "denoise"
"""The truth that sets and scaled steps are effects of: changes of the corrupted run."""


@dataclass(frozen=True, eq=False)
class Cloud:
    """Estimates and truths of units, or of sets of them, with the pair of each."""

    estimate: Float[np.ndarray, "units"]
    truth: Float[np.ndarray, "units"]
    pair: Int[np.ndarray, "units"]

    def chosen(self, rows: np.ndarray) -> "Cloud":
        """Some of them."""
        return Cloud(self.estimate[rows], self.truth[rows], self.pair[rows])


def regime_points(
    scores: Sequence[FeatureScores],
    sweep: pd.DataFrame | None,
    sets: pd.DataFrame | None,
    *,
    bootstrap: int = 2000,
    seed: int = 0,
) -> list[RegimePoint]:
    """Every estimate in every regime that the records tell of; error units only within sets.

    ``sweep`` and ``sets`` are the tables of those names, None where they were not measured. Pearson
    and slope (of estimate on truth) are means over the pairs that have at least 3 units in the
    regime. A set of all units occurs once a pair: its figures are over pairs, all at once.

    Raises:
        InputError: records or tables that are not about the same units.
    """
    points = []
    for estimate in (one for one in scores if one.kind == "estimate"):
        found = [
            *_of_units(estimate, scores),
            *(_of_sweep(estimate, sweep) if sweep is not None else ()),
            *(_of_sets(estimate, sets) if sets is not None else ()),
        ]
        for regime, level, at, truth, cloud in found:
            draws = draw_pairs(len(np.unique(cloud.pair)), bootstrap, seed)
            once = regime == "set size" and level == "all"
            pearson, slope = _over_pairs(cloud, draws) if once else _by_pair(cloud, draws)
            named = (regime, level, at, estimate.name, estimate.base, truth)
            points.append(RegimePoint(*named, pearson, slope, len(cloud.truth)))
    return points


Regimes = Iterator[tuple[str, str, float, str, Cloud]]
"""(regime, level, where to draw it, truth, cloud)."""


def _of_units(estimate: FeatureScores, scores: Sequence[FeatureScores]) -> Regimes:
    """By relative step and by site, with every truth."""
    for truth in (one for one in scores if one.kind == "truth"):
        aligned = align(estimate, truth)
        cloud = Cloud(aligned.estimate, aligned.truth, aligned.units.pair)
        for low, high in pairwise(EDGES):
            step = aligned.units.relative_step
            here = (step >= low) & (step < high)
            if here.any():
                at = np.sqrt(max(low, EDGES[1] / 2) * min(high, 2.0))
                yield "relative step", _span(low, high), float(at), truth.name, cloud.chosen(here)
        sites = np.unique(aligned.units.site)
        for site in sorted(sites, key=_layer) if len(sites) > 1 else ():
            here = aligned.units.site == site
            yield "site", str(site), _layer(site), truth.name, cloud.chosen(here)


def _of_sweep(estimate: FeatureScores, sweep: pd.DataFrame) -> Regimes:
    rows = np.flatnonzero(~estimate.units.is_error)
    units = estimate.units.chosen(rows)
    for t in np.unique(sweep["scale"]):
        found = sweep.loc[(sweep["feature"] != ERROR_UNIT) & (sweep["scale"] == t)]
        _require_same(units, found, estimate.label)
        effect = np.asarray(found["effect"], np.float64)
        yield (
            "scale",
            f"{t:g}",
            float(t),
            BY_SET,
            Cloud(t * estimate.score[rows], effect, units.pair),
        )


def _of_sets(estimate: FeatureScores, sets: pd.DataFrame) -> Regimes:
    mine = sets[sets["estimate"] == estimate.label]
    sizes = sorted(set(mine["size"]), key=lambda size: size or np.inf)  # 0, all of them, last
    for size in sizes:
        found = mine[mine["size"] == size]
        columns = [np.asarray(found[name]) for name in ("predicted", "effect", "pair")]
        at = float(size or 4 * max(sizes))
        yield "set size", str(size or "all"), at, BY_SET, Cloud(*columns)


def _by_pair(cloud: Cloud, draws: np.ndarray) -> tuple[Interval, Interval]:
    """Mean over pairs of Pearson and of the slope."""
    pairs, index = np.unique(cloud.pair, return_inverse=True)

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(index, values, minlength=len(pairs))

    n = total(np.ones(len(index)))
    x, y = (side - (total(side) / n)[index] for side in (cloud.estimate, cloud.truth))
    xx, yy, xy = total(x * x), total(y * y), total(x * y)
    varies = [
        squares > n * (ROUNDING * total(np.abs(side)) / n) ** 2
        for squares, side in ((xx, cloud.estimate), (yy, cloud.truth))
    ]
    defined = (n >= FEWEST) & varies[0] & varies[1]
    reason = f"{np.count_nonzero(~defined)} of {len(pairs)} pairs have fewer than {FEWEST} units "
    note = "" if defined.all() else reason + "or a constant side here"
    with np.errstate(divide="ignore", invalid="ignore"):
        pearson = np.where(defined, np.clip(xy / np.sqrt(xx * yy), -1, 1), np.nan)
        slope = np.where(defined, xy / yy, np.nan)
    return mean_interval(pearson, draws, note), mean_interval(slope, draws, note)


def _over_pairs(cloud: Cloud, draws: np.ndarray) -> tuple[Interval, Interval]:
    """Pearson and slope over all rows at once, the pairs resampled."""
    pairs, index = np.unique(cloud.pair, return_inverse=True)
    sample = Sample(cloud.estimate, cloud.truth, np.ones(len(index)), np.ones(len(index)))
    found = []
    for name in ("pearson", "slope"):
        measured = measures[name](sample)
        try:
            value = measured(np.ones(len(index)))
        except Undefined as undefined:
            found.append(Interval(np.nan, np.nan, np.nan, str(undefined)))
            continue
        resampled, _ = resample(measured, draws, index)
        found.append(with_interval(float(value), resampled, len(pairs), ""))
    return found[0], found[1]


def _require_same(units: Units, found: pd.DataFrame, label: str) -> None:
    same = len(units) == len(found) and all(
        np.array_equal(getattr(units, name), np.asarray(found[name]))
        for name in ("pair", "site", "pos", "feature")
    )
    if not same:
        raise InputError(
            f"The sweep and '{label}' are not about the same units. Make both in one run."
        )


def _span(low: float, high: float) -> str:
    return f"{low:g} and more" if np.isinf(high) else f"{low:g} to {high:g}"


def _layer(site: str) -> float:
    return float(str(site).rpartition(".")[2])
