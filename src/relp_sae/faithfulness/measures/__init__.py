"""Measures of agreement, one file each.

A measure looks at a sample of units once and returns its value as a function of *how often each
unit counts*. All ones give the plain value. A bootstrap resample is the same units with other
counts: one definition serves both, exactly, and nothing is sorted twice.

>>> ones = np.ones(3)
>>> sample = Sample(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0]), ones, ones)
>>> round(measures["pearson"](sample)(ones), 12)
1.0
>>> measures["kendall-tau-b"].shown, measures["slope"].better
('Kendall tau-b', 'nearest 1')
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from relp_sae.registry import Registry

Scores = Float[np.ndarray, "units"]
"""Finite scores of the units, in the metric's unit."""

Counts = Float[np.ndarray, "units"]
"""How often each unit counts: whole numbers; a unit of count 0 is not there."""

Value = Callable[[Counts], float]
"""The value of a measure at these counts. Raises Undefined where it has none."""

Better = Literal["higher", "lower", "nearest 1"]
"""Which values of a measure are good."""


class Undefined(ArithmeticError):  # noqa: N818 (it is an answer, not a fault)
    """The measure has no value here. The message is the reason that goes with the NaN."""


@dataclass(frozen=True, eq=False)
class Sample:
    """The units that a measure looks at: entry i of every array is the same unit.

    ``estimate`` and ``truth`` are in the metric's unit; ``delta`` and ``relative_step`` as in
    Units: the step of the unit, and its length over that of the activation.
    """

    estimate: Scores
    truth: Scores
    delta: Scores
    relative_step: Scores

    def chosen(self, rows: np.ndarray | slice) -> "Sample":
        """The units at ``rows`` (a mask, indices or a slice) alone."""
        return Sample(
            self.estimate[rows], self.truth[rows], self.delta[rows], self.relative_step[rows]
        )


@dataclass(frozen=True)
class Measure:
    """A registered measure: what it computes, and how to read it.

    ``shown`` is its name for people. ``sees_size`` is True where the size of the estimate counts
    and not its pattern alone: then it is no use for scores of another unit (``delta-norm``).
    ``bounded`` ones lie in [-1, 1], and Fisher's z can be taken of them. ``costly`` ones get no
    bootstrap interval when all pairs are pooled; their mean over pairs has one.
    """

    of: Callable[[Sample], Value]
    shown: str
    better: Better = "higher"
    sees_size: bool = False
    bounded: bool = True
    costly: bool = False

    def __call__(self, sample: Sample) -> Value:
        return self.of(sample)


measures: Registry[Measure] = Registry("measure", "relp_sae.faithfulness.measures")


def measure(
    name: str,
    shown: str,
    *,
    better: Better = "higher",
    sees_size: bool = False,
    bounded: bool = True,
    costly: bool = False,
) -> Callable[[Callable[[Sample], Value]], Callable[[Sample], Value]]:
    """Decorator that registers a function as the measure ``name``; see Measure for the rest."""

    def enter(of: Callable[[Sample], Value]) -> Callable[[Sample], Value]:
        measures.register(name)(Measure(of, shown, better, sees_size, bounded, costly))
        return of

    return enter


def value_or_reason(measured: Value, counts: Counts) -> tuple[float, str]:
    """The value and no reason, or NaN and the reason."""
    try:
        return measured(counts), ""
    except Undefined as undefined:
        return np.nan, str(undefined)
