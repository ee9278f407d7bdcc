"""Half-rule: each factor of a product gets half of its relevance."""

from torch import Tensor

from relp_sae.models.family import Role
from relp_sae.rules.rule import Rule, rules


def half_surrogate(left: Tensor, right: Tensor) -> Tensor:
    """Half the product with one factor detached, plus half with the other; same shape as both."""
    return 0.5 * (left * right.detach() + left.detach() * right)


rules.register("half")(Rule(Role.GATE, half_surrogate, "Arras et al. 2019, arXiv 1909.12114"))
