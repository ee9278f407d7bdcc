"""SAE architectures that can be trained: one function each, on SAELens' training classes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from sae_lens import (
    BatchTopKTrainingSAEConfig,
    GatedTrainingSAEConfig,
    JumpReLUTrainingSAEConfig,
    MatryoshkaBatchTopKTrainingSAEConfig,
    StandardTrainingSAEConfig,
    TopKTrainingSAEConfig,
    TrainingSAE,
)
from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE
from sae_lens.saes.gated_sae import GatedTrainingSAE
from sae_lens.saes.jumprelu_sae import JumpReLUTrainingSAE
from sae_lens.saes.matryoshka_batchtopk_sae import MatryoshkaBatchTopKTrainingSAE
from sae_lens.saes.standard_sae import StandardTrainingSAE
from sae_lens.saes.topk_sae import TopKTrainingSAE

from relp_sae.registry import Registry

# SAELens scales the activations so that their mean norm is sqrt(d_in), and folds the factor into
# the weights when training ends.
NORMALISATION = "expected_average_only_in"

JUMPRELU_L0 = 0.2
"""Weight of the quadratic penalty beside the squared error of activations of norm sqrt(d_in)."""


@dataclass(frozen=True)
class Shape:
    """What every architecture is built from; ``warm_up`` is in steps, and that of its penalty."""

    d_in: int
    d_sae: int
    warm_up: int

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that all of SAELens' configurations share."""
        return {"d_in": self.d_in, "d_sae": self.d_sae, "normalize_activations": NORMALISATION}


@dataclass(frozen=True)
class Architecture:
    """An architecture and what decides how sparse it is.

    ``sparsity`` is the setting: ``k``, the active features per token that are wanted, or ``l1``,
    the coefficient of the L1 penalty on the scaled activations; ``default`` is its value.
    """

    build: Callable[[Shape, float], TrainingSAE]
    sparsity: Literal["k", "l1"]
    default: float


architectures: Registry[Architecture] = Registry("SAE architecture")

Build = Callable[[Shape, float], TrainingSAE]


def _architecture(
    name: str, sparsity: Literal["k", "l1"], default: float
) -> Callable[[Build], Build]:
    def enter(build: Build) -> Build:
        architectures.register(name)(Architecture(build, sparsity, default))
        return build

    return enter


@_architecture("standard", "l1", 1.0)
def standard(shape: Shape, l1: float) -> TrainingSAE:
    """ReLU with an L1 penalty, weighted by the norms of the decoder's rows."""
    return StandardTrainingSAE(
        StandardTrainingSAEConfig(
            **shape.settings, l1_coefficient=l1, l1_warm_up_steps=shape.warm_up
        )
    )


@_architecture("topk", "k", 64.0)
def topk(shape: Shape, k: float) -> TrainingSAE:
    """The k largest pre-activations stay (Gao et al. 2024, arXiv 2406.04093)."""
    return TopKTrainingSAE(TopKTrainingSAEConfig(**shape.settings, k=int(k)))


@_architecture("batchtopk", "k", 64.0)
def batchtopk(shape: Shape, k: float) -> TrainingSAE:
    """The k largest per token on average over a batch (Bussmann et al. 2024, arXiv 2412.06410).

    It is saved as a JumpReLU SAE, with the running mean of the smallest activation as threshold.
    """
    return BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(**shape.settings, k=k))


@_architecture("matryoshka", "k", 64.0)
def matryoshka(shape: Shape, k: float) -> TrainingSAE:
    """BatchTopK whose first features must reconstruct alone too (Bussmann et al. 2025,
    arXiv 2503.17547): an eighth of them, a quarter, a half, and all.
    """
    widths = sorted({max(1, shape.d_sae // part) for part in (8, 4, 2, 1)})
    return MatryoshkaBatchTopKTrainingSAE(
        MatryoshkaBatchTopKTrainingSAEConfig(**shape.settings, k=k, matryoshka_widths=widths)
    )


@_architecture("jumprelu", "k", 64.0)
def jumprelu(shape: Shape, k: float) -> TrainingSAE:
    """A learnt threshold for each feature (Rajamanoharan et al. 2024, arXiv 2407.14435), with the
    quadratic penalty of Gemma Scope 2 around k active features.
    """
    return JumpReLUTrainingSAE(
        JumpReLUTrainingSAEConfig(
            **shape.settings,
            jumprelu_sparsity_loss_mode="quadratic",
            jumprelu_ste_to_input=True,
            target_l0=k,
            l0_coefficient=JUMPRELU_L0,
            l0_warm_up_steps=shape.warm_up,
        )
    )


@_architecture("gated", "l1", 1.0)
def gated(shape: Shape, l1: float) -> TrainingSAE:
    """What is active and how much are two encoders (Rajamanoharan et al. 2024,
    arXiv 2404.16014), with an L1 penalty on the gate.
    """
    return GatedTrainingSAE(
        GatedTrainingSAEConfig(**shape.settings, l1_coefficient=l1, l1_warm_up_steps=shape.warm_up)
    )
