"""The soft cap of logits (Gemma 2): cap * tanh(logits / cap)."""

from jaxtyping import Float
from torch import Tensor, nn


class SoftCap(nn.Module):
    """A part of its own, so that propagation rules reach its tanh as they reach any activation."""

    def __init__(self, cap: float) -> None:
        super().__init__()
        self.cap, self.tanh = cap, nn.Tanh()

    def forward(self, logits: Float[Tensor, "*batch vocab"]) -> Float[Tensor, "*batch vocab"]:
        """In the steps that transformers takes, so that the values are the same bit for bit."""
        return self.tanh(logits / self.cap) * self.cap
