"""Two records brought into one order, so that entry i of both is the same SAE feature."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from relp_sae.errors import InputError
from relp_sae.records import FeatureScores, Units


@dataclass(frozen=True)
class Aligned:
    """Estimate and truth of the same SAE features (no error units), sorted by pair.

    ``features`` is the number of features of each pair of the truth, in the order of pair number;
    a pair in which only the error units differ has 0.
    """

    estimate: Float[np.ndarray, "units"]
    truth: Float[np.ndarray, "units"]
    features: Int[np.ndarray, "pairs"]

    def by_pair(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(estimate, truth) of one pair after the other."""
        ends = np.cumsum(self.features)[:-1]
        return zip(np.split(self.estimate, ends), np.split(self.truth, ends), strict=True)


def align(estimate: FeatureScores, truth: FeatureScores) -> Aligned:
    """Match the SAE features of two records by (pair, site, position, feature).

    Raises:
        InputError: they do not list the same features, one lists a feature twice or none at all,
            or a score is not finite.
    """
    rows, truth_rows = _sorted_rows(estimate), _sorted_rows(truth)
    keys, truth_keys = _keys(estimate.units, rows), _keys(truth.units, truth_rows)
    if len(rows) != len(truth_rows) or any(
        np.any(mine != other) for mine, other in zip(keys, truth_keys, strict=True)
    ):
        raise _mismatch(estimate.label, keys, truth.label, truth_keys)
    pairs = np.unique(truth.units.pair)
    return Aligned(
        estimate=estimate.score[rows].astype(np.float64),
        truth=truth.score[truth_rows].astype(np.float64),
        features=np.array([np.count_nonzero(keys[0] == pair) for pair in pairs], np.int64),
    )


def _sorted_rows(scores: FeatureScores) -> np.ndarray:
    """The rows of the SAE features, in the order of their keys, checked."""
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
    bad = rows[~np.isfinite(scores.score[rows])].tolist()
    if bad:
        raise InputError(
            f"The {scores.kind} '{scores.label}' has {len(bad)} of {len(rows)} scores that are NaN "
            f"or infinite (the first: {_named(scores.units, bad[0])}). Every score must be a "
            "finite number; look for an overflow in the run that made it, then run it again."
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
