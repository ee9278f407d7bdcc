"""Which weights were used: a hash that does not depend on the file format."""

import hashlib

import torch
from torch import nn


def weights_sha256(module: nn.Module) -> str:
    """A hash over the names and values of all weights, as loaded, in the order of their names."""
    digest = hashlib.sha256()
    for name, weight in sorted(module.state_dict().items()):
        digest.update(name.encode())
        flat = weight.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy())
    return digest.hexdigest()
