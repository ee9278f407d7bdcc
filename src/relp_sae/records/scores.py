"""Scores of units. An estimate and a truth are the same type, so that they can be compared."""

import hashlib
from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np
from jaxtyping import Float, Int, Shaped

ERROR_UNIT = -1
"""The feature index of the error unit of a (site, position)."""

WHOLE_NODE = -2
"""The feature index of a unit that is all of x at a (site, position)."""

Kind = Literal["estimate", "truth"]
Base = Literal["corrupted", "clean", "both"]


@dataclass(frozen=True)
class Units:
    """The units of a run, in one fixed order: (pair, site, position, feature).

    Only units that differ between the two runs are listed (structural zeros are not).
    ``feature`` is -1 for the error unit and -2 for a whole node; ``delta`` is f_clean -
    f_corrupted, and for those two the norm of the step. ``relative_step`` is the length of the
    unit's step (``|delta| * ||W_dec||``) over that of x_corrupted at its position; no unit.
    """

    pair: Int[np.ndarray, "units"]
    site: Shaped[np.ndarray, "units"]
    pos: Int[np.ndarray, "units"]
    feature: Int[np.ndarray, "units"]
    delta: Float[np.ndarray, "units"]
    relative_step: Float[np.ndarray, "units"]

    def __len__(self) -> int:
        return len(self.pair)

    @property
    def is_error(self) -> np.ndarray:
        """True for error units, False for SAE features and whole nodes; shape (units,)."""
        return self.feature == ERROR_UNIT

    def sha256(self) -> str:
        """A hash over which units they are, in their order; the sizes of their steps are not in."""
        digest = hashlib.sha256()
        sites, site = np.unique(self.site, return_inverse=True)
        digest.update(repr(sites.tolist()).encode())
        for column in (self.pair, site, self.pos, self.feature):
            digest.update(np.ascontiguousarray(column, dtype="<i8").data)
        return digest.hexdigest()

    def chosen(self, rows: np.ndarray) -> "Units":
        """The units at ``rows`` (a mask or indices), in that order."""
        return Units(**{one.name: getattr(self, one.name)[rows] for one in fields(self)})


@dataclass(frozen=True)
class FeatureScores:
    """One number per unit: an estimate by a method, or a truth by intervention.

    ``score`` is in the metric's unit; positive means *this unit supports the answer*.
    ``base`` names the run whose slopes or context were used. ``stderr`` is the standard error of
    a sampled score and 0 for an exact one.
    """

    kind: Kind
    name: str
    base: Base
    units: Units
    score: Float[np.ndarray, "units"]
    stderr: Float[np.ndarray, "units"]

    @property
    def label(self) -> str:
        """Name and base as shown to people: ``relp@corrupted``; ``denoise`` for a truth."""
        based = self.kind == "estimate" and self.base != "both"
        return f"{self.name}@{self.base}" if based else self.name

    def chosen(self, rows: np.ndarray) -> "FeatureScores":
        """The record of the units at ``rows`` (a mask or indices) alone."""
        return replace(
            self,
            units=self.units.chosen(rows),
            score=self.score[rows],
            stderr=self.stderr[rows],
        )
