"""What is changed: runs of one prompt, each with its own steps added to x at one site."""

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from relp_sae.records import Site

Rows = Int[Tensor, "rows"]
"""Which of the runs."""

Added = Float[Tensor, "rows width d_x"]
"""What each run adds to x from its start on, at ``width`` positions."""


@dataclass(frozen=True, eq=False)
class Interventions:
    """Runs of the corrupted prompt of a pair, or ``from_clean`` of the clean one.

    Run i changes x at ``site`` from position ``starts[i]`` on and nothing before it: at ``width``
    positions, or with None at any up to the last one. A start behind the last position is no
    change. ``added(rows)`` makes what some of the runs with *one* start add, so that the steps of
    all runs never stand in memory together.
    """

    pair: int
    from_clean: bool
    site: Site
    starts: Int[Tensor, "runs"]
    width: int | None
    added: Callable[[Rows], Added]
