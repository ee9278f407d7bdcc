"""A truth: the effect of every unit, measured by intervening."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int

from relp_sae.errors import InputError
from relp_sae.patching.engine import Engine, engines
from relp_sae.records.scores import Base
from relp_sae.registry import Registry
from relp_sae.run import PairedRun

UnitRows = Int[np.ndarray, "rows"]
"""Which of ``run.units``, ascending."""

Shards = list[Int[np.ndarray, "_"]]
"""Units in pieces."""


@dataclass(frozen=True)
class Measuring:
    """How effects are measured: by which engine, and how much of what is sampled.

    At most ``permutations`` are drawn per pair and site, fewer once the standard error is
    ``tolerance`` times the spread of the effects; ``seed`` draws them.

    Raises:
        InputError: a setting out of range.
    """

    engine: Engine = field(default_factory=lambda: engines["packed"]())
    permutations: int = 16
    tolerance: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"permutations": 4, "tolerance": 0, "seed": 0}
        for name, value in least.items():
            if not getattr(self, name) >= value:  # NaN is not
                raise InputError(f"{name} is {getattr(self, name)}; it has to be {value} or more.")


@dataclass(frozen=True, eq=False)
class Effects:
    """The effects of units, in the metric's unit; positive supports the answer.

    ``stderr`` is the standard error of a sampled effect and 0 for an exact one.
    """

    effect: Float[np.ndarray, "units"]
    stderr: Float[np.ndarray, "units"]

    @staticmethod
    def exact(effect: Float[np.ndarray, "units"]) -> "Effects":
        """Effects without sampling error."""
        return Effects(effect, np.zeros_like(effect))


UnitEffects = Callable[[PairedRun, UnitRows, Measuring], Effects]
"""(run, which of its units, settings) -> their effects, in this order."""


@dataclass(frozen=True)
class Truth:
    """How a truth is measured, and the run in whose context units are changed.

    ``whole_pairs``: a unit's effect depends on which others its pair has, so that only all units of
    a pair can be measured, not some of them.
    """

    effects: UnitEffects
    base: Base
    whole_pairs: bool = False


SHARD = 4096
"""Units that are measured together, and kept together: what a killed run loses at most."""


def in_shards(rows: UnitRows) -> Shards:
    """Units in pieces of ``SHARD``."""
    return np.split(rows, np.arange(SHARD, len(rows), SHARD))


def shards(run: PairedRun, truth: Truth) -> Shards:
    """All units of a run in pieces, each of which can be measured and kept by itself.

    A piece is ``SHARD`` units of any pairs, or one pair where the truth needs whole ones.
    """
    rows = np.arange(len(run.units))
    if not truth.whole_pairs:
        return in_shards(rows)
    return np.split(rows, np.flatnonzero(np.diff(run.units.pair)) + 1)


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
