"""Measures of agreement, one file each.

A measure looks at the two scores once and returns its value as a function of *how often each unit
counts*. All ones give the plain value. A bootstrap resample is the same units with other counts:
one definition serves both, exactly, and nothing is sorted twice.

>>> pearson = measures["pearson"](np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0]))
>>> round(pearson(np.ones(3)), 12)
1.0
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from relp_sae.registry import Registry

Scores = Float[np.ndarray, "units"]
"""Finite scores of the units, in the metric's unit."""

Counts = Float[np.ndarray, "units"]
"""How often each unit counts: whole numbers; a unit of count 0 is not there."""

Value = Callable[[Counts], float]
"""The value of a measure at these counts. Raises Undefined where it has none."""

Measure = Callable[[Scores, Scores], Value]
"""(estimate, truth) -> Value. Larger is better; perfect agreement is 1."""


class Undefined(ArithmeticError):  # noqa: N818 (it is an answer, not a fault)
    """The measure has no value here. The message is the reason that goes with the NaN."""


measures: Registry[Measure] = Registry("measure", "relp_sae.faithfulness.measures")
