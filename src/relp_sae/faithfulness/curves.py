"""What circuit curves say in three numbers: area over log k, CPR and CMD.

F(k) = (m(top k moved) - m(none)) / (m(all) - m(none)) is a ratio of means over pairs: the mean
effect of the top k over the mean effect of all. A mean of ratios would be ruled by a pair whose
whole effect is near zero.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from relp_sae.faithfulness.resampling import Draws, draw_pairs, with_interval
from relp_sae.records import CurveArea, Interval

SHARES = np.concatenate([[0.0], np.geomspace(1e-3, 1, 200)])
"""Shares of the units at which |1 - F| is summed; between the measured k curves are straight."""

DEPTHS = np.linspace(0, 1, 65)
"""log k / log n at which the area over log k is summed: 0 is one unit, 1 all of them."""

SMALLEST = 1e-3
"""A mean whole effect below this share of the mean |whole effect| has no F: it cancels."""


@dataclass(frozen=True)
class PairCurves:
    """The gain m(top k) - m(none) of each pair, at SHARES and at DEPTHS, and that of all units."""

    by_share: Float[np.ndarray, "pairs shares"]
    by_depth: Float[np.ndarray, "pairs depths"]
    whole: Float[np.ndarray, "pairs"]


def curve_areas(frame: pd.DataFrame, *, bootstrap: int = 2000, seed: int = 0) -> list[CurveArea]:
    """The areas of every curve of ``curves.parquet``, with prompt-cluster bootstrap intervals.

    CPR is the area under F and CMD that of |1 - F| over the share of units k / n (Mueller et al.
    2025, MIB, arXiv 2504.13151, section 3.2). MIB takes shares of edges at ten fixed values; here
    they are shares of the site's units at powers of two, and none.
    ``area`` weighs every doubling of k the same, from one unit to all. Larger area and CPR and
    smaller CMD are better; a perfect curve has 1, 1 and 0. For the direction necessity F is the
    share of the site's effect that is destroyed. NaN with a reason where there is no effect.
    """
    some = frame.loc[frame["units"] > 0]
    keys = ["site", "ranking", "order", "direction"]
    names = some[keys].astype(str).agg("\n".join, axis=1).to_numpy(str)
    areas = []
    for name in dict.fromkeys(names.tolist()):
        curves = _pair_curves(some.loc[names == name])
        draws = draw_pairs(len(curves.whole), bootstrap, seed)
        site, ranking, order, direction = name.split("\n")
        areas.append(CurveArea(site, ranking, order, direction, *_areas(curves, draws)))
    return areas


def _pair_curves(frame: pd.DataFrame) -> PairCurves:
    shares, depths, wholes = [], [], []
    for _, one in frame.groupby("pair", sort=True):
        one = one.sort_values("k")
        k, n = one["k"].to_numpy(np.float64), float(one["units"].iloc[0])
        gain = (one["metric"] - one["metric_none"]).to_numpy(np.float64)
        shares.append(np.interp(SHARES, k / n, gain))
        depth = np.log(k[1:]) / np.log(n) if n > 1 else np.ones(1)
        depths.append(np.interp(DEPTHS, depth, gain[1:]))
        wholes.append(float((one["metric_all"] - one["metric_none"]).iloc[0]))
    rows = len(wholes)
    return PairCurves(
        np.array(shares).reshape(rows, len(SHARES)),
        np.array(depths).reshape(rows, len(DEPTHS)),
        np.array(wholes),
    )


def _areas(curves: PairCurves, draws: Draws) -> tuple[Interval, Interval, Interval]:
    """Area, CPR and CMD."""
    if abs(curves.whole.mean()) <= SMALLEST * np.abs(curves.whole).mean():
        nothing = Interval(np.nan, np.nan, np.nan, "the units together have no effect")
        return nothing, nothing, nothing
    everyone = np.ones((1, len(curves.whole)))
    values = [_of_draws(curves, counts) for counts in (everyone, draws.astype(np.float64))]
    area, cpr, cmd = (
        with_interval(float(value[0]), resampled, len(curves.whole), "")
        for value, resampled in zip(*values, strict=True)
    )
    return area, cpr, cmd


def _of_draws(
    curves: PairCurves, counts: Float[np.ndarray, "draws pairs"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The three areas (draws,) when pair i counts ``counts[:, i]`` times."""
    whole = (counts @ curves.whole)[:, None]
    by_depth, by_share = counts @ curves.by_depth / whole, counts @ curves.by_share / whole
    return (
        _area(by_depth, DEPTHS),
        _area(by_share, SHARES),
        _area(np.abs(1 - by_share), SHARES),
    )


def _area(
    curve: Float[np.ndarray, "draws points"], at: Float[np.ndarray, "points"]
) -> Float[np.ndarray, "draws"]:
    """By trapezoids."""
    return ((curve[:, 1:] + curve[:, :-1]) / 2) @ np.diff(at)
