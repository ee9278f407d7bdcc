"""The secant of RMSNorm and LayerNorm."""

from torch import Tensor, nn

from relp_sae.models.family import Norm, Role
from relp_sae.rules.rule import Rule, rules
from relp_sae.rules.secant.rows import before, middle


def norm_surrogate(x: Tensor, norm: Norm, module: nn.Module, rows: int) -> Tensor:
    """y = x r w with r = 1/s and s = sqrt(mean(x^2) + eps); x is centred first for LayerNorm.

    d_y = w (d_x mean(r) + mean(x) kappa d_v) with d_v = mean(2 mean(x) d_x) over d_model and
    kappa = -1 / (s_o s_c (s_o + s_c)), which is (r_c - r_o) / (v_c - v_o) without its 0/0.
    x and y have shape (row, pos, d_model).
    """
    centred = x - x.mean(-1, keepdim=True) if norm.centred else x
    variance = centred.detach().pow(2).mean(-1, keepdim=True)
    end = (variance + getattr(module, norm.eps)).sqrt()
    start = before(end, rows)
    kappa = -1 / (start * end * (start + end))
    between = middle(centred, rows)
    change_of_variance = (2 * between * centred).mean(-1, keepdim=True)
    changed = centred * (1 / start + 1 / end) / 2 + between * kappa * change_of_variance
    return norm.weight(module) * changed


rules.register("secant-norm")(
    Rule(Role.NORM, norm_surrogate, "docs/methods.md, after Shrikumar et al. 2017", two_point=True)
)
