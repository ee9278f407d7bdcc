"""An engine: how the metric of many changed runs is computed."""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from relp_sae.errors import InputError
from relp_sae.patching.interventions import Interventions
from relp_sae.registry import Registry
from relp_sae.run import PairedRun

Changes = Float[np.ndarray, "_"]
"""m(run with its steps) - m(run without) of each run, in the metric's unit, float64 (runs,)."""


@runtime_checkable
class Engine(Protocol):
    """Computes changed runs. Engines differ in speed, not in what they find."""

    def changes(self, run: PairedRun, interventions: Sequence[Interventions]) -> list[Changes]:
        """The change of the metric in every run of each of the interventions.

        Both terms of a difference come from the same computation, so that what its rounding adds
        to every run cancels.

        Raises:
            InputError: the run's memory does not hold a single run, or error terms are to be held
                (``run.held``) and the engine cannot.
            RunError: the engine does not compute what the model does.
        """
        ...


def require_errors_held(engine: Engine, run: PairedRun) -> None:
    """Check that an engine computes what a run asks of the error terms of later SAEs.

    An engine that can hold them says so by an attribute ``holds_errors``.

    Raises:
        InputError: the run holds error terms, and the engine does not say that it can.
    """
    if run.holds_errors and not getattr(engine, "holds_errors", False):
        raise InputError(
            f"The error terms of later SAEs are to be {run.error_term}, but the "
            f"{type(engine).__name__} lets them follow x. Give --engine reference "
            '(engine="reference"), or --error-term pass-through.'
        )


engines: Registry[Callable[[], Engine]] = Registry("engine", "relp_sae.patching")
"""Name -> a new engine."""
