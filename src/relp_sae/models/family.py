"""A family of architectures, declared as data: where its parts are, by role.

Adding a family is one new file with one declaration in ``families/``; see docs/adding.md.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch
from torch import Tensor, nn

from relp_sae.models.attention import AttentionCalls, ThroughInterface
from relp_sae.registry import Registry


class Role(StrEnum):
    """What a part does, as far as propagation rules care."""

    NORM = "norm"
    ACTIVATION = "activation"
    GATE = "gate"
    ATTENTION = "attention"


@dataclass(frozen=True)
class Norm:
    """How the family normalises: y = (x - mean if centred) * scale(x) * (offset + weight) + bias.

    ``eps`` names the attribute that holds the epsilon under the root.
    """

    centred: bool
    eps: str
    offset: float = 0.0

    def normalized(self, module: nn.Module, x: Tensor) -> Tensor:
        """What a norm has made of x before it multiplies by its weight; of the shape of x."""
        return (self._centre(x) * self.scale(module, x)).to(x.dtype)

    def scale(self, module: nn.Module, x: Tensor) -> Tensor:
        """What x, centred, is multiplied by to have length 1 a dimension; (..., 1), positive."""
        squares = self._centre(x).square().mean(-1, keepdim=True)
        return torch.rsqrt(squares + getattr(module, self.eps))

    def frozen(self, module: nn.Module, scale: Tensor, change: Tensor) -> Tensor:
        """How far a norm's output moves with a change of x, if ``scale`` did not move with it."""
        return self._centre(change) * scale * self.weight(module)

    def _centre(self, x: Tensor) -> Tensor:
        """In float32 at least."""
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        return wide - wide.mean(-1, keepdim=True) if self.centred else wide

    def weight(self, module: nn.Module) -> Tensor:
        """What a norm multiplies by, over its last dimension."""
        weight = module.weight
        assert isinstance(weight, Tensor)
        return weight + self.offset if self.offset else weight


@dataclass(frozen=True)
class Gate:
    """A product of two branches: the output of ``left`` times that of ``right`` enters ``into``.

    ``right_part`` is (index, number of parts): where one projection makes several branches side by
    side, which of them the product takes.
    """

    left: str
    right: str
    into: str
    right_part: tuple[int, int] = (0, 1)


def accept_any(_config: Any) -> None:
    """No configuration of the family needs to be refused."""


def one_after_the_other(_config: Any) -> bool:
    """The MLP of a block reads what attention has written."""
    return False


@dataclass(frozen=True)
class Family:
    """Dotted paths of the parts: the first three from the model, the others from a block.

    ``projection`` takes the heads' mixed values (z). ``mlp_norm`` is the norm whose output the MLP
    reads, empty where it reads the stream itself. ``attention_out`` and ``mlp_out`` are the parts
    whose outputs are added to the stream, where these are not ``attention`` and ``mlp`` themselves
    but norms behind them.

    ``base`` is the part that runs the blocks, where that is not the model's base. ``parallel`` says
    whether attention and MLP both read the block's input; ``refuse`` raises InputError for a
    configuration whose maths the rules would not describe. ``activation_name`` and ``soft_cap``
    are attributes of the configuration: the activation's name, and the cap of the logits.
    """

    blocks: str
    final_norm: str
    unembed: str
    attention: str
    projection: str
    mlp: str
    mlp_norm: str
    norms: tuple[str, ...]
    norm: Norm
    activation: str
    activation_name: str
    gate: Gate | None
    attention_out: str = ""
    mlp_out: str = ""
    base: str = ""
    soft_cap: str = ""
    parallel: Callable[[Any], bool] = one_after_the_other
    blocks_return_tuples: bool = False
    attention_calls: AttentionCalls = ThroughInterface()  # noqa: RUF009 - holds no state
    refuse: Callable[[Any], None] = accept_any


families: Registry[Family] = Registry("model family", "relp_sae.models.families")
