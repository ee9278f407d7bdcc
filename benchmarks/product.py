"""The package's engines on chosen units, below the checks that `relp_sae.patch` makes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from workload import Rows

import relp_sae as rs
from relp_sae.patching import Change, engines, in_shards, step_effects
from relp_sae.patching.engine import Changes
from relp_sae.patching.interventions import Interventions


def engine_loop(run: rs.PairedRun, rows: Rows, engine: str) -> Callable[[], np.ndarray]:
    """A function that measures the denoising effects of the chosen units."""
    return lambda: step_effects(run, rows, Change(), engines[engine]())


def patched(run: rs.PairedRun, rows: Rows) -> np.ndarray:
    """The denoising effects of the chosen units, in pieces as `relp_sae.patch` measures all."""
    engine = engines["packed"]()
    return np.concatenate([step_effects(run, part, Change(), engine) for part in in_shards(rows)])


@dataclass(frozen=True)
class ThroughRun:
    """The packed engine through the model of another run of the same pairs.

    The units and their steps are still those of the run that asks.
    """

    run: rs.PairedRun

    def changes(self, _asks: rs.PairedRun, interventions: Sequence[Interventions]) -> list[Changes]:
        """See `relp_sae.patching.Engine`."""
        return engines["packed"]().changes(self.run, interventions)
