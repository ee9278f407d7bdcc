"""The table this project started from: the scale of each method and its strongest features."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from relp_sae.errors import InputError
from relp_sae.faithfulness.alignment import align
from relp_sae.faithfulness.declared import find_truth
from relp_sae.faithfulness.measures import measures, value_or_reason
from relp_sae.records import FeatureScores


@dataclass(frozen=True)
class TopFeature:
    """A feature with its score summed over positions and averaged over pairs (metric's unit)."""

    site: str
    feature: int
    score: float


@dataclass(frozen=True)
class SeedRow:
    """One record at a glance, over SAE features.

    ``std`` and ``largest`` are the standard deviation and the largest |score| of its units, in
    the metric's unit; ``pearson`` is the pooled correlation with the truth (NaN: see ``note``).
    ``shared`` maps the label of every row, the own one too, to the number of top features in
    common with it.
    """

    label: str
    std: float
    largest: float
    pearson: float
    top: tuple[TopFeature, ...]
    shared: Mapping[str, int]
    note: str = ""


def seed_table(scores: Sequence[FeatureScores], truth_name: str, top: int = 5) -> list[SeedRow]:
    """The truth's own row first, then one row per estimate, in the order of ``scores``.

    Raises:
        InputError: there is no such truth, the records do not score the same features, or a score
            is not finite.
    """
    truth = find_truth(scores, truth_name)
    if truth is None:
        known = ", ".join(one.name for one in scores if one.kind == "truth") or "none"
        raise InputError(f"There is no truth '{truth_name}' among the scores. Known: {known}.")
    shown = [truth, *(one for one in scores if one.kind == "estimate")]
    strongest = {one.label: top_features(one, top) for one in shown}
    names = {
        label: {(one.site, one.feature) for one in features}
        for label, features in strongest.items()
    }

    def row(one: FeatureScores) -> SeedRow:
        aligned = align(one, truth)
        pearson, note = value_or_reason(
            measures["pearson"](aligned.sample), np.ones(len(aligned.truth))
        )
        return SeedRow(
            label=one.label,
            std=float(aligned.estimate.std()),
            largest=float(np.abs(aligned.estimate).max()),
            pearson=pearson,
            top=strongest[one.label],
            shared={other: len(names[one.label] & names[other]) for other in names},
            note=note,
        )

    return [row(one) for one in shown]


def top_features(scores: FeatureScores, top: int) -> tuple[TopFeature, ...]:
    """The ``top`` features by |mean over pairs of the score summed over positions|.

    A pair in which a feature does not change counts as 0. Equal sizes stand in the order of
    (site, feature); features with a sum of zero are not listed.
    """
    units = scores.units
    sums: defaultdict[tuple[str, int], float] = defaultdict(float)
    for site, feature, score in zip(
        units.site[~units.is_error].tolist(),
        units.feature[~units.is_error].tolist(),
        scores.score[~units.is_error].tolist(),
        strict=True,
    ):
        sums[site, feature] += score
    pairs = len(np.unique(units.pair))
    ranked = sorted(sums, key=lambda key: (-abs(sums[key]), key))
    return tuple(
        TopFeature(site, feature, sums[site, feature] / pairs)
        for site, feature in ranked[:top]
        if sums[site, feature] != 0
    )
