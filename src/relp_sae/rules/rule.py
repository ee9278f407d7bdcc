"""A propagation rule: the same value, another slope.

A rule is a *surrogate*: a function of the inputs of a place whose derivative is the slope that the
rule wants. The forward pass keeps the value that the model computed, bit for bit; the backward
pass goes through the surrogate. What the surrogate itself evaluates to does not matter.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from relp_sae.models.family import Role
from relp_sae.registry import Registry

Surrogate = Callable[..., Any]
"""By role: norm ``(x, norm: Norm, module) -> y``; activation ``(x, name: str) -> y``; gate
``(left, right) -> product``; attention ``(query, key, value, Attention) -> attend's outputs``,
whose values must be kept. That of a two-point rule takes one more argument, ``rows``."""


@dataclass(frozen=True)
class Attention:
    """One call of an attention layer: what a family gives to it beside query, key and value.

    ``attend(query, key, value)`` is the family's own eager attention; ``mask`` is added to the
    scores scaling * q k (after tanh with ``softcap`` where there is one).
    """

    attend: Callable[[Tensor, Tensor, Tensor], Any]
    mask: Tensor | None
    scaling: float
    softcap: float | None


@dataclass(frozen=True)
class Rule:
    """What a role does in the backward pass, and the paper that says so.

    A ``two_point`` rule takes its slopes between the rows of a batch (see ``rules.secant``), the
    others at each row.
    """

    role: Role
    surrogate: Surrogate
    source: str
    two_point: bool = False

    def on_paths_of(self, rows: int) -> "Rule":
        """The rule in batches that are made of paths of ``rows`` rows, if that matters to it."""
        if not self.two_point:
            return self
        return replace(self, surrogate=partial(self.surrogate, rows=rows))


rules: Registry[Rule] = Registry("rule", "relp_sae.rules")


class _SameValue(torch.autograd.Function):
    """Forward: the value. Backward: everything goes to the surrogate."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, surrogate: Tensor) -> Tensor:  # noqa: ARG004
        if value.shape != surrogate.shape:
            raise ValueError(f"surrogate has shape {surrogate.shape}, its value {value.shape}")
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:  # noqa: ARG004
        return None, gradients[0]


def with_slope_of(surrogate: Tensor, value: Tensor) -> Tensor:
    """``value`` bit for bit, with the derivative of ``surrogate``."""
    return _SameValue.apply(value.detach(), surrogate)
