"""Random TopK SAEs of any size, in SAELens' format: what they cost is that of trained ones."""

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from sae_lens.saes.sae import SAEMetadata
from sae_lens.saes.topk_sae import TopKSAE, TopKSAEConfig

from relp_sae.records import Site

ACTIVE = 48


@contextmanager
def random_sae(site: str, d_in: int, d_sae: int, k: int = ACTIVE, seed: int = 0) -> Iterator[Path]:
    """Inside the context the SAE's folder is there."""
    metadata = SAEMetadata(hook_name=Site.parse(site).hook_name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # advice for TransformerLens users
        sae = TopKSAE(TopKSAEConfig(d_in=d_in, d_sae=d_sae, k=k, metadata=metadata))
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        sae.W_dec.copy_(torch.randn(sae.W_dec.shape, generator=draw))
        sae.W_dec /= sae.W_dec.norm(dim=1, keepdim=True)
        sae.W_enc.copy_(sae.W_dec.T)
    with tempfile.TemporaryDirectory(prefix="relp-sae-benchmark-") as folder:
        sae.save_model(folder)
        yield Path(folder)
