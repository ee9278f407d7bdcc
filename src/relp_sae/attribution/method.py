"""A method: estimates the effect of every unit without intervening."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from relp_sae.errors import InputError
from relp_sae.records.scores import Base
from relp_sae.registry import Registry
from relp_sae.run import PairedRun

Scores = Callable[[PairedRun, Sequence[int], Base], list[np.ndarray]]
"""(run, kept pairs, base) -> for each pair its scores (units,), in the order of
``run.units_of(pair)``. The pairs are run as one batch, and none has a say in another's scores."""


class Passes(NamedTuple):
    """What a method costs for one pair: prompts run forward, and prompts run backward.

    Each from the block of the earliest site and the first changed position on. What finds the
    units' steps, and the keys and values of the positions before, comes on top and is the same for
    all methods.
    """

    forwards: int
    backwards: int


def one_pass(_sites: int) -> Passes:
    """One prompt, whatever the number of sites."""
    return Passes(1, 1)


@dataclass(frozen=True)
class Method:
    """How a method scores a batch of pairs, and from which base points it can.

    ``composite`` names the rules whose backward pass it uses, empty for none. ``with_count`` makes
    the variant with n steps, for methods that take steps (``NAME:n``). ``passes`` says what a
    number of sites costs, and ``holds_errors`` whether it can hold the error terms of later SAEs.
    """

    scores: Scores
    bases: tuple[Base, ...] = ("corrupted", "clean")
    composite: str = ""
    with_count: Callable[[int], "Method"] | None = None
    passes: Callable[[int], Passes] = one_pass
    holds_errors: bool = True

    @property
    def rows(self) -> int:
        """How many prompts a pass runs for each pair of its batch."""
        return max(1, self.passes(1).forwards)


methods: Registry[Method] = Registry("method", "relp_sae.attribution")


def require_errors_held(names: Iterable[str], run: PairedRun) -> None:
    """Check that methods can do what a run asks of the error terms of later SAEs.

    Raises:
        InputError: the run holds error terms, and one of the methods cannot.
    """
    names = list(names)
    able = [name for name in names if method_named(name).holds_errors]
    if run.holds_errors and len(able) < len(names):
        unable = ", ".join(name for name in names if name not in able)
        raise InputError(
            f"The error terms of later SAEs are to be {run.error_term}, for which there is no "
            f"{unable}: its slopes are those between two runs of the model itself. Leave it away "
            f"(--methods {','.join(able) or 'gradient'}), or give --error-term pass-through."
        )


def method_named(name: str) -> Method:
    """A registered method, or ``NAME:n`` for one that takes n steps.

    Raises:
        InputError: unknown name, or a count that the method does not take.
    """
    plain, colon, count = name.partition(":")
    method = methods[plain]
    if not colon:
        return method
    if method.with_count is None:
        raise InputError(f"The method '{plain}' takes no number of steps; write '{plain}'.")
    if not count.isdecimal() or int(count) < 1:
        raise InputError(f"Cannot read '{name}': expected {plain}:N with N steps, N at least 1.")
    return method.with_count(int(count))
