"""The two ends of each row's secant: the row before it, and the row itself."""

from jaxtyping import Float
from torch import Tensor, cat

from relp_sae.errors import InputError

Rows = Float[Tensor, "row *shape"]


def before(x: Rows) -> Rows:
    """The row before each row; for the first row itself, so that its secant is its tangent.

    Raises:
        InputError: there is one row only, so that there is nothing to take a secant between.
    """
    if len(x) < 2:
        raise InputError(
            "The secant composite takes slopes between two runs, and got a single one. Run the "
            "corrupted and the clean prompt as one batch, in this order."
        )
    return cat([x[:1], x[:-1]]).detach()


def middle(x: Rows) -> Rows:
    """The mean of the two ends of each row, a constant of the backward pass."""
    return (x.detach() + before(x)) / 2
