"""Linear layers through oneDNN, on a CPU in float32.

PyTorch gives float32 products to MKL, which on many processors is slower than oneDNN, the more so
for few rows. The operator is the one that torch.compile uses for frozen weights.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from relp_sae.models import LanguageModel


@contextmanager
def faster_products(model: LanguageModel, first_block: int) -> Iterator[None]:
    """Inside the context the linear layers of the blocks from ``first_block`` on use oneDNN.

    On other devices and in other types, and where something else took a layer's forward over,
    nothing is changed.
    """
    parts = [part for block in model.blocks[first_block:] for part in block.modules()]
    with ExitStack() as undo:
        for part in parts if _has_onednn(model) else ():
            if type(part) in (nn.Linear, Conv1D) and "forward" not in vars(part):
                part.forward = _product(part)
                undo.callback(delattr, part, "forward")
        yield


def _has_onednn(model: LanguageModel) -> bool:
    return (
        model.device.type == "cpu"
        and model.dtype == torch.float32
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def _product(layer: nn.Module) -> Callable[[Tensor], Tensor]:
    # Conv1D, GPT-2's linear layer, holds its weight the other way round.
    weight = layer.weight.T if isinstance(layer, Conv1D) else layer.weight

    def forward(x: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(x, weight, layer.bias, "none", [], "")

    return forward
