"""LN-rule: the scale of a norm is a constant."""

import torch
from torch import Tensor, nn

from relp_sae.models.family import Norm, Role
from relp_sae.rules.rule import Rule, rules


def ln_surrogate(x: Tensor, norm: Norm, module: nn.Module) -> Tensor:
    """y = (x - mean) * w / sqrt(var + eps) with the root detached; RMSNorm has no mean.

    Centring is linear and stays. x has shape (batch, pos, d_model), as has y.
    """
    centred = x - x.mean(-1, keepdim=True) if norm.centred else x
    scale = torch.rsqrt(centred.pow(2).mean(-1, keepdim=True) + getattr(module, norm.eps))
    return centred * scale.detach() * norm.weight(module)


rules.register("ln")(Rule(Role.NORM, ln_surrogate, "Ali et al. 2022, arXiv 2202.07304"))
