"""Truths: the effect of every unit, measured by exact activation patching.

`patch` measures a whole run; `truths`, `pair_curves`, `scaled_effects` and `set_effects` one pair,
so that work can be resumed pair by pair.
"""

from collections.abc import Callable, Iterable
from typing import Any

from relp_sae.patching.curves import pair_curves
from relp_sae.patching.restart import BlockCalls
from relp_sae.patching.single_units import Change, step_effects
from relp_sae.patching.sweep import scaled_effects, set_effects
from relp_sae.patching.truth import Effects, Measuring, Truth, require_precision, truths
from relp_sae.records import FeatureScores
from relp_sae.run import PairedRun

__all__ = [
    "BlockCalls",
    "Change",
    "Effects",
    "Measuring",
    "Truth",
    "pair_curves",
    "patch",
    "require_precision",
    "scaled_effects",
    "set_effects",
    "step_effects",
    "truths",
]


def patch(
    run: PairedRun,
    truth: str,
    *,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
    **settings: Any,
) -> FeatureScores:
    """Measure the effect of every unit of every kept pair by intervening.

    ``settings`` are those of `Measuring`: ``batch_size``, and for a sampled truth
    ``permutations``, ``tolerance`` and ``seed``.

    Raises:
        InputError: unknown truth, a setting out of range, or a model in bfloat16.
    """
    require_precision(run.model.dtype)
    chosen, measuring, calls = truths[truth], Measuring(**settings), BlockCalls()
    pairs = [chosen.pair_effects(run, pair, measuring, calls) for pair in progress(run.kept)]
    effects, errors = [one.effect for one in pairs], [one.stderr for one in pairs]
    return run.scores("truth", truth, chosen.base, effects, errors)
