"""A truth: the effect of every unit, measured by intervening."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from relp_sae.errors import InputError
from relp_sae.patching.restart import BlockCalls
from relp_sae.records.scores import Base
from relp_sae.registry import Registry
from relp_sae.run import PairedRun


@dataclass(frozen=True)
class Measuring:
    """How effects are measured.

    ``batch_size`` is how many changed runs are computed at once; it changes no effect beyond
    rounding. The others are for what is sampled: at most ``permutations`` per pair and site, fewer
    once the standard error is ``tolerance`` times the spread of the effects; ``seed`` draws them.

    Raises:
        InputError: a setting out of range.
    """

    batch_size: int = 128
    permutations: int = 16
    tolerance: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"batch_size": 1, "permutations": 4, "tolerance": 0, "seed": 0}
        for name, value in least.items():
            if not getattr(self, name) >= value:  # NaN is not
                raise InputError(f"{name} is {getattr(self, name)}; it has to be {value} or more.")


@dataclass(frozen=True, eq=False)
class Effects:
    """The effects of one pair's units, in the metric's unit; positive supports the answer.

    ``stderr`` is the standard error of a sampled effect and 0 for an exact one.
    """

    effect: Float[np.ndarray, "units"]
    stderr: Float[np.ndarray, "units"]

    @staticmethod
    def exact(effect: Float[np.ndarray, "units"]) -> "Effects":
        """Effects without sampling error."""
        return Effects(effect, np.zeros_like(effect))


PairEffects = Callable[[PairedRun, int, Measuring, BlockCalls], Effects]
"""(run, kept pair, settings, recorded calls) -> effects, in the order of ``run.units_of(pair)``."""


@dataclass(frozen=True)
class Truth:
    """How a truth is measured on one pair, and the run in whose context units are changed."""

    pair_effects: PairEffects
    base: Base


def require_precision(dtype: str | torch.dtype) -> None:
    """Check that effects of single units can be measured in a type.

    Raises:
        InputError: bfloat16, in which most of them are lost in rounding.
    """
    if str(dtype).removeprefix("torch.") == "bfloat16":
        raise InputError(
            "Truths cannot be measured in bfloat16: its rounding is larger than the effect of most "
            "units. Use float32 or float64; estimates alone (relp-sae attribute) may use bfloat16."
        )


truths: Registry[Truth] = Registry("truth", "relp_sae.patching")
