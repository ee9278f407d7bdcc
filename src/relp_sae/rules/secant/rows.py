"""The two ends of each row's secant: the row before it on its path, and the row itself.

A batch holds paths side by side, each of ``rows`` rows that follow one another: those of one pair's
path never meet those of another's.
"""

from jaxtyping import Float
from torch import Tensor, cat

from relp_sae.errors import InputError

Rows = Float[Tensor, "row *shape"]


def before(x: Rows, rows: int) -> Rows:
    """The row before each row of a path; for a path's first row itself: its secant is its tangent.

    Raises:
        InputError: there is one row only, so that there is nothing to take a secant between, or
            the batch is not made of whole paths.
    """
    if rows < 2 or len(x) % rows:
        found = "a single one" if len(x) == 1 else f"a batch of {len(x)} for paths of {rows}"
        raise InputError(
            f"The secant composite takes slopes between two runs, and got {found}. Run the "
            "corrupted and the clean prompt of each pair in one batch, one after the other."
        )
    paths = x.detach().unflatten(0, (-1, rows))
    return cat([paths[:, :1], paths[:, :-1]], dim=1).flatten(0, 1)


def middle(x: Rows, rows: int) -> Rows:
    """The mean of the two ends of each row, a constant of the backward pass."""
    return (x.detach() + before(x, rows)) / 2
