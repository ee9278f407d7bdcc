"""A family of architectures, declared as data: where its parts are, by role.

Adding a family is one new file with one declaration; see docs/adding.md.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from relp_sae.registry import Registry


class Role(StrEnum):
    """What a part does, as far as propagation rules care."""

    NORM = "norm"
    ACTIVATION = "activation"
    GATE = "gate"
    ATTENTION = "attention"


@dataclass(frozen=True)
class Norm:
    """How the family normalises: y = (x - mean if centred) * scale(x) * weight + bias.

    ``eps`` names the attribute that holds the epsilon under the root.
    """

    centred: bool
    eps: str


@dataclass(frozen=True)
class Gate:
    """A product of two branches: the output of ``left`` times that of ``right`` enters ``into``."""

    left: str
    right: str
    into: str


def accept_any(_config: Any) -> None:
    """No configuration of the family needs to be refused."""


@dataclass(frozen=True)
class Family:
    """Dotted paths of the parts: the first three from the model, the others from a block.

    ``refuse`` raises InputError for a configuration whose maths the rules would not describe;
    ``activation_name`` is the configuration's attribute that names the activation function.
    """

    blocks: str
    final_norm: str
    unembed: str
    attention: str
    mlp: str
    norms: tuple[str, ...]
    norm: Norm
    activation: str
    activation_name: str
    gate: Gate | None
    refuse: Callable[[Any], None] = accept_any


families: Registry[Family] = Registry("model family", "relp_sae.models")
