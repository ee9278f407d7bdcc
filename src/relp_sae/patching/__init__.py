"""Truths: the effect of every unit, measured by exact activation patching.

`patch` measures a whole run; `truths`, `step_effects` and `scaled_effects` some units of it,
`pair_curves` and `set_effects` one pair, so that work can be resumed piece by piece.
"""

from collections.abc import Callable, Iterable
from typing import Any

from relp_sae.patching.curves import circuit_curves, pair_curves, scores_of_pair
from relp_sae.patching.engine import Engine, engines, require_errors_held
from relp_sae.patching.memory import longest_batch
from relp_sae.patching.single_units import Change, step_effects
from relp_sae.patching.sweep import scaled_effects, set_effects
from relp_sae.patching.truth import (
    Effects,
    Measuring,
    Shards,
    Truth,
    UnitRows,
    in_shards,
    require_precision,
    shards,
    truths,
)
from relp_sae.records import FeatureScores
from relp_sae.run import PairedRun

__all__ = [
    "Change",
    "Effects",
    "Engine",
    "Measuring",
    "Shards",
    "Truth",
    "circuit_curves",
    "engines",
    "in_shards",
    "longest_batch",
    "pair_curves",
    "patch",
    "require_errors_held",
    "require_precision",
    "scaled_effects",
    "scores_of_pair",
    "set_effects",
    "shards",
    "step_effects",
    "truths",
]


def patch(
    run: PairedRun,
    truth: str,
    *,
    engine: str = "packed",
    progress: Callable[[Shards], Iterable[UnitRows]] = iter,
    **settings: Any,
) -> FeatureScores:
    """Measure the effect of every unit of every kept pair by intervening.

    ``progress`` sees the shards of units pass. ``settings`` are those of `Measuring` for a sampled
    truth: ``permutations``, ``tolerance`` and ``seed``.

    Raises:
        InputError: unknown truth or engine, a setting out of range, a run whose memory is too
            small for one unit, or a model in bfloat16.
    """
    require_precision(run.model.dtype)
    chosen = truths[truth]
    measuring = Measuring(engines[engine](), **settings)
    pieces = [chosen.effects(run, rows, measuring) for rows in progress(shards(run, chosen))]
    effects, errors = [one.effect for one in pieces], [one.stderr for one in pieces]
    return run.scores("truth", truth, chosen.base, effects, errors)
