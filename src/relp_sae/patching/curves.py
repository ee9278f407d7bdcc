"""Circuit curves: how much of the behaviour the top units of a ranking carry, and destroy."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from relp_sae.errors import InputError
from relp_sae.patching.engine import Engine, engines
from relp_sae.patching.sets import Members, UnitSets, sets_at_sites
from relp_sae.records import FeatureScores
from relp_sae.run import PairedRun

ORDERS = ("signed", "size")
"""Largest score first, or largest |score| first."""


def circuit_curves(
    run: PairedRun,
    scores: Sequence[FeatureScores],
    *,
    engine: str = "packed",
) -> pd.DataFrame:
    """The circuit curves of every kept pair, of estimates and truths alike, by their labels.

    ``scores`` are of the units of ``run``; ``engine`` as for ``patch``. The columns are those of
    `site_curves`.

    Raises:
        InputError: no scores, scores of other units, an unknown engine, a model in bfloat16.
    """
    wrong = [one.label for one in scores if len(one.score) != len(run.units)]
    if wrong or not scores:
        got = f"other units in {', '.join(wrong)}" if wrong else "none"
        raise InputError(
            f"Circuit curves need scores of this run's units; got {got}. Make them with "
            "attribute(run, ...) or patch(run, ...)."
        )
    chosen = engines[engine]()
    frames = [pair_curves(run, pair, scores_of_pair(scores, pair), chosen) for pair in run.kept]
    return pd.concat(frames, ignore_index=True)


def scores_of_pair(
    scores: Sequence[FeatureScores], pair: int
) -> dict[str, Float[np.ndarray, "units"]]:
    """Label -> the scores of one pair's units."""
    here = scores[0].units.pair == pair
    return {one.label: one.score[here] for one in scores}


def pair_curves(
    run: PairedRun,
    pair: int,
    rankings: Mapping[str, Float[np.ndarray, "units"]],
    engine: Engine,
) -> pd.DataFrame:
    """The circuit curves of one pair at each site, of estimates and truths alike.

    ``rankings`` maps a label to scores in the order of ``run.units_of(pair)``. See `site_curves`.

    Raises:
        InputError: a model in bfloat16.
        ValueError: a ranking of another number of units, or no ranking.
    """
    found = sets_at_sites(run, pair, rankings, engine)
    return pd.concat([site_curves(sets, here) for sets, here in found], ignore_index=True)


def site_curves(sets: UnitSets, rankings: Mapping[str, Float[np.ndarray, "units"]]) -> pd.DataFrame:
    """The metric with the top k of a site's units moved, in long form.

    One row per ``pair, site, ranking, order, direction, k``: ``metric`` is that of the corrupted
    run with the top k units clean (direction ``sufficiency``) or of the clean run with them
    corrupted (``necessity``); ``metric_none`` and ``metric_all`` are the same with none and with
    all of the ``units`` units, and ``clean`` is that of the clean run, all in the metric's unit.
    In both directions F(k) = (metric - metric_none) / (metric_all - metric_none) is the share of
    the site's effect that the top k carry, or destroy (Marks et al. 2024, arXiv 2403.19647;
    Mueller et al. 2025, arXiv 2504.13151). Ties are broken by the order of the units.
    """
    ks = grid(len(sets))
    tops = {(name, order): (scores, order) for name, scores in rankings.items() for order in ORDERS}
    members = np.concatenate([top_sets(*one, ks) for one in tops.values()])
    frames = []
    for direction, from_clean in (("sufficiency", False), ("necessity", True)):
        metric = replace(sets, from_clean=from_clean).metric(members).reshape(len(tops), len(ks))
        for (ranking, order), values in zip(tops, metric, strict=True):
            columns = {
                **{"pair": sets.pair, "site": str(sets.site), "ranking": ranking},
                **{"order": order, "direction": direction, "k": ks, "units": len(sets)},
                **{"metric": values, "metric_none": values[0], "metric_all": values[-1]},
                "clean": sets.run.measured[sets.pair].clean_metric,
            }
            frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def grid(units: int) -> Int[np.ndarray, "ks"]:
    """0, the powers of two up to ``units``, and ``units``.

    >>> grid(6).tolist()
    [0, 1, 2, 4, 6]
    """
    return np.unique([0, *(2**power for power in range(units.bit_length())), units])


def top_sets(scores: Float[np.ndarray, "units"], order: str, ks: Int[np.ndarray, "ks"]) -> Members:
    """The k units of the largest scores, or the largest |scores|, for each k; (ks, units)."""
    key = np.abs(scores) if order == "size" else scores
    place = np.argsort(-key, kind="stable").argsort()
    return place < ks[:, None]
