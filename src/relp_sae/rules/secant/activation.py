"""The secant of an elementwise function."""

from collections.abc import Callable

import torch
from torch import Tensor
from transformers.activations import ACT2FN

from relp_sae.models.family import Role
from relp_sae.rules.rule import Rule, rules
from relp_sae.rules.secant.rows import before


def activation_surrogate(x: Tensor, name: str, rows: int) -> Tensor:
    """y = x * slope, the slope of the activation function ``name`` between the ends; same shape."""
    return x * chord(ACT2FN[name], before(x, rows), x.detach())


def chord(function: Callable[[Tensor], Tensor], start: Tensor, end: Tensor) -> Tensor:
    """(f(end) - f(start)) / (end - start), and f'(middle) where the two are too near for that.

    They are near below the cube root of the type's precision: there the quotient's rounding and
    the neglected third derivative are equally large, and the predicted change is exact in both.
    """
    apart = end - start
    near = apart.abs() < torch.finfo(end.dtype).eps ** (1 / 3)
    slope = (function(end) - function(start)) / apart.where(~near, 1)
    with torch.enable_grad():
        between = ((start + end) / 2).requires_grad_()
        (tangent,) = torch.autograd.grad(function(between).sum(), between)
    return torch.where(near, tangent, slope)


rules.register("secant-activation")(
    Rule(Role.ACTIVATION, activation_surrogate, "Shrikumar et al. 2017", two_point=True)
)
