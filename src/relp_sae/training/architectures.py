"""SAE architectures that can be trained: one function each, on SAELens' training classes."""

from collections.abc import Callable

from sae_lens import TopKTrainingSAEConfig, TrainingSAE
from sae_lens.saes.topk_sae import TopKTrainingSAE

from relp_sae.registry import Registry

Architecture = Callable[[int, int, int], TrainingSAE]
"""(d_in, d_sae, k) -> an untrained SAE, where k is the wanted number of active features."""

architectures: Registry[Architecture] = Registry("SAE architecture")

# SAELens scales the activations so that their mean norm is sqrt(d_in), and folds the factor into
# the weights when training ends.
NORMALISATION = "expected_average_only_in"


@architectures.register("topk")
def topk(d_in: int, d_sae: int, k: int) -> TopKTrainingSAE:
    """The k largest pre-activations stay (Gao et al. 2024, arXiv 2406.04093)."""
    return TopKTrainingSAE(
        TopKTrainingSAEConfig(d_in=d_in, d_sae=d_sae, k=k, normalize_activations=NORMALISATION)
    )
