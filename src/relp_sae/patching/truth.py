"""A truth: the effect of every unit, measured by intervening."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from relp_sae.errors import InputError
from relp_sae.patching.restart import BlockCalls
from relp_sae.records.scores import Base
from relp_sae.registry import Registry
from relp_sae.run import PairedRun

PairEffects = Callable[[PairedRun, int, int, BlockCalls], np.ndarray]
"""(run, kept pair, units per batch, recorded calls) -> effects (units,) as ``run.units_of``."""


@dataclass(frozen=True)
class Truth:
    """How a truth is measured on one pair, and the run in whose context units are changed."""

    pair_effects: PairEffects
    base: Base


def require_precision(dtype: str) -> None:
    """Check that effects of single units can be measured in a type.

    Raises:
        InputError: bfloat16, in which most of them are lost in rounding.
    """
    if dtype == "bfloat16":
        raise InputError(
            "Truths cannot be measured in bfloat16: its rounding is larger than the effect of most "
            "units. Use float32 or float64; estimates alone (relp-sae attribute) may use bfloat16."
        )


truths: Registry[Truth] = Registry("truth", "relp_sae.patching")
