"""Massive activations: a few tokens whose activation is far longer than all others'."""

from jaxtyping import Bool, Float
from torch import Tensor

OUTLIER = 10.0
"""An activation longer than this many median norms is an outlier.

Language models give a few tokens (the first, and a line break or a full stop soon after it) norms
a hundred times the rest, whatever the text (Sun et al. 2024, Massive Activations in Large Language
Models). A squared loss would see nothing else, and they would be the strongest context of every
feature that is active at them.
"""


def outliers(x: Float[Tensor, "*positions width"]) -> Bool[Tensor, "*positions"]:
    """True where an activation is an outlier among those that are given, or is not finite."""
    norms = x.float().norm(dim=-1)
    return ~(norms < OUTLIER * norms.median()) if norms.numel() else norms.bool()
