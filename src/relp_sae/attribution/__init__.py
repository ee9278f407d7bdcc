"""Estimates: a score per unit, without intervening."""

from collections.abc import Callable, Iterable

from relp_sae.attribution.batches import batches, scored_in_batches
from relp_sae.attribution.method import Method, method_named, methods, require_errors_held
from relp_sae.errors import InputError
from relp_sae.records import FeatureScores
from relp_sae.records.scores import Base
from relp_sae.run import PairedRun

__all__ = [
    "Method",
    "attribute",
    "batches",
    "method_named",
    "methods",
    "require_errors_held",
    "scored_in_batches",
]


def attribute(
    run: PairedRun,
    method: str,
    *,
    base: Base | None = None,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> FeatureScores:
    """Score every unit of every kept pair by a method.

    ``base`` is the run at which the slopes are taken, by default the corrupted one, which is the
    base of the denoising effect. Methods without a base point have the base ``both``.

    Raises:
        InputError: unknown method, a base that it does not have, or error terms that are held
            where it cannot.
        RunError: a propagation rule did not act at every place of its role.
    """
    chosen = method_named(method)
    require_errors_held([method], run)
    at = base or chosen.bases[0]
    if at not in chosen.bases:
        raise InputError(
            f"The method '{method}' has the base {' or '.join(chosen.bases)}, not {at}."
        )
    score = scored_in_batches(run, chosen, at)
    return run.scores("estimate", method, at, [score(pair) for pair in progress(run.kept)])
