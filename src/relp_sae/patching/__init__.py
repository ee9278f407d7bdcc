"""Truths: the effect of every unit, measured by exact activation patching."""

from collections.abc import Callable, Iterable

from relp_sae.patching.restart import BlockCalls
from relp_sae.patching.truth import Truth, require_precision, truths
from relp_sae.records import FeatureScores
from relp_sae.run import PairedRun

__all__ = ["BlockCalls", "Truth", "patch", "require_precision", "truths"]

BATCH_SIZE = 128


def patch(
    run: PairedRun,
    truth: str,
    *,
    batch_size: int = BATCH_SIZE,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> FeatureScores:
    """Measure the effect of every unit of every kept pair by intervening.

    Raises:
        InputError: unknown truth, or a model in bfloat16.
    """
    require_precision(str(run.model.dtype).removeprefix("torch."))
    chosen, calls = truths[truth], BlockCalls()
    effects = [chosen.pair_effects(run, pair, batch_size, calls) for pair in progress(run.kept)]
    return run.scores("truth", truth, chosen.base, effects)
