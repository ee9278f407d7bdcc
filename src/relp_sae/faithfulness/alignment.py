"""Two records brought into one order, so that entry i of both is the same unit."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from relp_sae.errors import InputError
from relp_sae.faithfulness.measures import Sample
from relp_sae.records import FeatureScores, Units

LARGEST = 1e100
"""Squares and sums of scores up to this size do not overflow."""


@dataclass(frozen=True, eq=False)
class Aligned:
    """Estimate and truth of the same SAE features or whole nodes (no error units), by pair.

    ``units`` says which they are, ``pairs`` in which order their pairs stand everywhere, and
    ``features`` how many units each of these pairs has: 0 where only error units differ.
    """

    estimate: Float[np.ndarray, "units"]
    truth: Float[np.ndarray, "units"]
    units: Units
    pairs: Int[np.ndarray, "pairs"]

    @property
    def sample(self) -> Sample:
        """All units at once."""
        return Sample(self.estimate, self.truth, self.units.delta, self.units.relative_step)

    @property
    def pair_index(self) -> Int[np.ndarray, "units"]:
        """Which of ``pairs`` each unit belongs to, counted from 0."""
        return np.searchsorted(self.pairs, self.units.pair)

    @property
    def features(self) -> Int[np.ndarray, "pairs"]:
        """The number of units of each pair."""
        return np.bincount(self.pair_index, minlength=len(self.pairs))

    def by_pair(self) -> Iterator[Sample]:
        """The sample of one pair after the other."""
        sample, ends = self.sample, np.cumsum(self.features)
        for start, end in zip(ends - self.features, ends, strict=True):
            yield sample.chosen(slice(start, end))

    def chosen(self, rows: Bool[np.ndarray, "units"]) -> "Aligned":
        """The units of the mask ``rows`` alone, of the same pairs."""
        return Aligned(self.estimate[rows], self.truth[rows], self.units.chosen(rows), self.pairs)


def align(estimate: FeatureScores, truth: FeatureScores) -> Aligned:
    """Match the units of two records by (pair, site, position, feature), error units left out.

    Raises:
        InputError: they do not list the same units, one lists a unit twice or none at all, or a
            score is not finite.
    """
    rows, truth_rows = compared_rows(estimate), compared_rows(truth)
    keys, truth_keys = _keys(estimate.units, rows), _keys(truth.units, truth_rows)
    if len(rows) != len(truth_rows) or any(
        np.any(mine != other) for mine, other in zip(keys, truth_keys, strict=True)
    ):
        raise _mismatch(estimate.label, keys, truth.label, truth_keys)
    return Aligned(
        estimate=estimate.score[rows].astype(np.float64),
        truth=truth.score[truth_rows].astype(np.float64),
        units=truth.units.chosen(truth_rows),
        pairs=np.unique(truth.units.pair),
    )


def compared_rows(scores: FeatureScores) -> Int[np.ndarray, "units"]:
    """The rows of all but the error units, by (pair, site, position, feature), checked.

    Raises:
        InputError: there are none, one is listed twice, or a score is not finite.
    """
    rows = np.flatnonzero(~scores.units.is_error)
    pair, site, pos, feature = _keys(scores.units, rows)
    rows = rows[np.lexsort((feature, pos, site, pair))]
    if len(rows) == 0:
        raise InputError(
            f"The {scores.kind} '{scores.label}' scores no SAE feature: in none of its pairs does "
            "a feature differ between the two prompts. Use other pairs or a later site."
        )
    _need_finite(scores, rows)
    _need_distinct(scores, rows)
    return rows


def _keys(units: Units, rows: np.ndarray) -> tuple[np.ndarray, ...]:
    return units.pair[rows], units.site[rows], units.pos[rows], units.feature[rows]


def _named(units: Units, row: int) -> str:
    return (
        f"pair {units.pair[row]}, {units.site[row]}, position {units.pos[row]}, "
        f"feature {units.feature[row]}"
    )


def _need_finite(scores: FeatureScores, rows: np.ndarray) -> None:
    bad = rows[~(np.abs(scores.score[rows]) <= LARGEST)].tolist()  # NaN is bad, too
    if bad:
        raise InputError(
            f"The {scores.kind} '{scores.label}' has {len(bad)} of {len(rows)} scores that are "
            f"NaN, infinite or beyond 1e100 (the first: {_named(scores.units, bad[0])}). Every "
            "score must be a usable number; look for an overflow in the run that made it, then "
            "run it again."
        )


def _need_distinct(scores: FeatureScores, rows: np.ndarray) -> None:
    repeated = np.logical_and.reduce([key[1:] == key[:-1] for key in _keys(scores.units, rows)])
    if np.any(repeated):
        first = int(rows[:-1][repeated][0])
        raise InputError(
            f"The {scores.kind} '{scores.label}' lists {np.count_nonzero(repeated)} units more "
            f"than once (the first: {_named(scores.units, first)}). List every unit once."
        )


def _mismatch(
    estimate: str, keys: tuple[np.ndarray, ...], truth: str, truth_keys: tuple[np.ndarray, ...]
) -> InputError:
    mine, others = set(zip(*keys, strict=True)), set(zip(*truth_keys, strict=True))
    return InputError(
        f"'{estimate}' and '{truth}' do not score the same units: {len(others - mine)} of "
        f"'{truth}' are missing in '{estimate}', and {len(mine - others)} of '{estimate}' in "
        f"'{truth}'. Make both from the same run."
    )
