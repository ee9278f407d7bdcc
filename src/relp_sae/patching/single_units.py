"""Exact activation patching of every unit alone: the denoising and the noising effect."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from relp_sae.patching.engine import Engine
from relp_sae.patching.interventions import Added, Interventions, Rows
from relp_sae.patching.truth import Effects, Measuring, Truth, UnitRows, truths
from relp_sae.run import PairedRun, PairSteps


@dataclass(frozen=True)
class Change:
    """What is done to one unit at a time: ``scale`` times its step, in the corrupted or clean run.

    In the clean run the step is taken away.
    """

    from_clean: bool = False
    scale: float = 1.0


def denoise(run: PairedRun, rows: UnitRows, measuring: Measuring) -> Effects:
    """m(corrupted run, this unit set to its clean value) - m(corrupted): sufficient on its own?"""
    return Effects.exact(step_effects(run, rows, Change(), measuring.engine))


def noise(run: PairedRun, rows: UnitRows, measuring: Measuring) -> Effects:
    """m(clean) - m(clean run, this unit set to its corrupted value): necessary?

    The indirect effect of Marks et al. 2024 (arXiv 2403.19647), sign flipped.
    """
    return Effects.exact(step_effects(run, rows, Change(from_clean=True), measuring.engine))


def step_effects(
    run: PairedRun, rows: UnitRows, change: Change, engine: Engine
) -> Float[np.ndarray, "rows"]:
    """m(run with the step) - m(run without) of some of a run's units, one at a time.

    The corrupted run with the step added less itself, or the clean run less that without the step.
    """
    if not len(rows):
        return np.zeros(0)
    found = engine.changes(run, _interventions(run, rows, change))
    return (-1 if change.from_clean else 1) * np.concatenate(found)


def _interventions(run: PairedRun, rows: UnitRows, change: Change) -> list[Interventions]:
    """One for each pair and site that the units are of, in their order."""
    found = []
    for pair in np.unique(run.units.pair[rows]).tolist():
        first = int(np.searchsorted(run.units.pair, pair))
        for steps in run.steps(pair):
            mine = rows[(rows >= first) & (rows < first + len(steps.pos))] - first
            first += len(steps.pos)
            if len(mine):
                found.append(_of_site(pair, steps, torch.from_numpy(mine), change))
    return found


def _of_site(pair: int, steps: PairSteps, units: Rows, change: Change) -> Interventions:
    factor = -change.scale if change.from_clean else change.scale

    def added(rows: Rows) -> Added:
        return factor * steps.vectors(units[rows])[:, None]

    return Interventions(pair, change.from_clean, steps.site, steps.pos[units], 1, added)


truths.register("denoise")(Truth(denoise, base="corrupted"))
truths.register("noise")(Truth(noise, base="clean"))
