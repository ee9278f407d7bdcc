"""AH-rule: the attention pattern is a constant; only the value path carries relevance."""

from typing import Any

from torch import Tensor

from relp_sae.models.family import Role
from relp_sae.rules.rule import Attention, Rule, rules


def ah_surrogate(query: Tensor, key: Tensor, value: Tensor, attention: Attention) -> Any:
    """The family's own attention with queries and keys detached, so the value is its own."""
    return attention.attend(query.detach(), key.detach(), value)


rules.register("ah")(Rule(Role.ATTENTION, ah_surrogate, "Ali et al. 2022, arXiv 2202.07304"))
