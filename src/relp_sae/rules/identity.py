"""Identity-rule: an activation function is a factor act(x)/x, which is a constant."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from relp_sae.errors import InputError
from relp_sae.models.family import Role
from relp_sae.registry import suggestion
from relp_sae.rules.rule import Rule, rules


def _gelu_tanh(x: Tensor) -> Tensor:
    return 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def _normal_cdf(x: Tensor) -> Tensor:
    return 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def _tanh_over_x(x: Tensor) -> Tensor:
    """From its series where the quotient would lose digits, which is 1 at 0."""
    near = x.abs() < 1e-2
    return torch.where(near, 1 - x**2 / 3 + 2 * x**4 / 15, torch.tanh(x) / x.where(~near, 1))


# In closed form: act(x) / x computed as a division is 0/0 at 0, where the factor is 1/2.
FACTORS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": _normal_cdf,
    "gelu_new": _gelu_tanh,
    "gelu_pytorch_tanh": _gelu_tanh,
    "silu": torch.sigmoid,
    "swish": torch.sigmoid,
    "tanh": _tanh_over_x,
    "relu": lambda x: (x > 0).to(x.dtype),
}
"""act(x) / x by the configuration's name of the activation function."""


def identity_surrogate(x: Tensor, name: str) -> Tensor:
    """y = x * factor(x) with the factor detached; same shape as x.

    Raises:
        InputError: no closed form is known for the activation function ``name``.
    """
    if name not in FACTORS:
        raise InputError(
            f"The Identity-rule has no closed form for the activation '{name}'. "
            f"{suggestion(name, FACTORS)}Known: {', '.join(FACTORS)}. Add it to FACTORS."
        )
    return x * FACTORS[name](x).detach()


rules.register("identity")(
    Rule(Role.ACTIVATION, identity_surrogate, "Jafari et al. 2024 (MambaLRP), arXiv 2406.07592")
)
