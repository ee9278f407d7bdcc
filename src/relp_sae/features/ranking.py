"""Which features a run's scores call the strongest."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import pandas as pd

from relp_sae.records import FeatureScores
from relp_sae.records.features import CardScore

Feature = tuple[str, int]
"""The site where it writes, and its number there."""


class Row(NamedTuple):
    """What a score says of one feature; see ``CardScore`` and ``FeatureCard``."""

    strength: float
    mean: float
    pairs: int
    units: int


@dataclass(frozen=True)
class Ranking:
    """What one score says of every feature of a run, the strongest first."""

    score: FeatureScores
    rows: dict[Feature, Row]

    def top(self, many: int) -> list[Feature]:
        """The strongest features, as many as there are up to ``many``."""
        return list(islice(self.rows, many))

    def scores(self, features: Iterable[Feature]) -> dict[Feature, CardScore]:
        """What the score says of some features."""
        ranks, one = {feature: i for i, feature in enumerate(self.rows, 1)}, self.score
        return {
            feature: CardScore(
                kind=one.kind,
                name=one.name,
                label=one.label,
                strength=self.rows[feature].strength,
                rank=ranks[feature],
                mean=self.rows[feature].mean,
            )
            for feature in features
        }


def rank_features(score: FeatureScores) -> Ranking:
    """Rank the features of a score by the sum of |score| over their units; no error units.

    The sum of the sizes, so that a feature whose positions cancel in a pair is not overlooked.
    Features of equal strength are in the order of their sites and numbers.
    """
    units = score.units
    columns = {"site": units.site, "feature": units.feature, "pair": units.pair}
    frame = pd.DataFrame({**columns, "score": score.score, "size": abs(score.score)})
    table = (
        frame[frame["feature"] >= 0]
        .groupby(["site", "feature"])
        .agg(
            strength=("size", "sum"),
            total=("score", "sum"),
            pairs=("pair", "nunique"),
            units=("pair", "size"),
        )
    )
    rows = [_row(one) for one in table.reset_index().to_dict("records")]
    return Ranking(score, dict(sorted(rows, key=lambda item: -item[1].strength)))


def _row(one: Mapping[Hashable, Any]) -> tuple[Feature, Row]:
    mean = one["total"] / one["pairs"]
    return (one["site"], one["feature"]), Row(one["strength"], mean, one["pairs"], one["units"])


def top_features(rankings: Sequence[Ranking], many: int) -> list[Feature]:
    """The features in the top of any ranking: those of the first one, those that the next adds."""
    found = (feature for ranking in rankings for feature in ranking.top(many))
    return list(dict.fromkeys(found))
