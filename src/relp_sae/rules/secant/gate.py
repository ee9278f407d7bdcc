"""The secant of a product of two branches."""

from torch import Tensor

from relp_sae.models.family import Role
from relp_sae.rules.rule import Rule, rules
from relp_sae.rules.secant.rows import middle


def gate_surrogate(left: Tensor, right: Tensor, rows: int) -> Tensor:
    """d(left right) = d_left mean(right) + mean(left) d_right, exactly; same shape as both."""
    return left * middle(right, rows) + middle(left, rows) * right


rules.register("secant-gate")(
    Rule(Role.GATE, gate_surrogate, "docs/methods.md, the secant composite", two_point=True)
)
