"""Linear layers through oneDNN, on a CPU in float32.

PyTorch gives float32 products to MKL, which on many processors is slower than oneDNN, the more so
for few rows and once the weights are laid out for it. These are the operators that torch.compile
uses with frozen weights.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from relp_sae.models import LanguageModel
from relp_sae.patching.memory import budget_of

SHARE = 0.5
"""Of the memory budget: what laid out copies of weights may take. Without them each product lays
its weight out anew, which costs a few per cent."""


class Products:
    """Makes a model's linear layers multiply faster for a while, and keeps the laid out weights.

    ``memory`` is the budget in bytes of which the copies take their share; None: found
    automatically. The model's weights must not change as long as this is used.
    """

    def __init__(self, memory: int | None) -> None:
        self._memory = memory
        self._laid_out: WeakKeyDictionary[nn.Module, Tensor] = WeakKeyDictionary()

    @contextmanager
    def faster(self, model: LanguageModel, first_block: int) -> Iterator[None]:
        """Inside the context linear layers of the blocks from ``first_block`` on use oneDNN.

        On other devices and in other types, and where something else took a layer's forward over,
        nothing is changed.
        """
        layers = _linear_layers(model, first_block) if _has_onednn(model) else []
        self._lay_out(layers, model.device)
        with ExitStack() as undo:
            for layer in layers:
                weight = self._laid_out.get(layer, _weight(layer))
                layer.forward = _product(weight, layer.bias)
                undo.callback(delattr, layer, "forward")
            yield

    def _lay_out(self, layers: list[nn.Module], device: torch.device) -> None:
        """Copy the layers' weights, if the budget has room for all of them."""
        new = [layer for layer in layers if layer not in self._laid_out]
        room = SHARE * budget_of(device, self._memory) - _bytes(self._laid_out)
        if _bytes(new) <= room:
            for layer in new:
                weight = _weight(layer).contiguous()
                self._laid_out[layer] = torch.ops.mkldnn._reorder_linear_weight(weight, None)


def _has_onednn(model: LanguageModel) -> bool:
    return (
        model.device.type == "cpu"
        and model.dtype == torch.float32
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def _linear_layers(model: LanguageModel, first_block: int) -> list[nn.Module]:
    parts = [part for block in model.blocks[first_block:] for part in block.modules()]
    return [one for one in parts if type(one) in (nn.Linear, Conv1D) and "forward" not in vars(one)]


def _weight(layer: nn.Module) -> Tensor:
    """(out, in). Conv1D, GPT-2's linear layer, holds it the other way round."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight.detach().T if isinstance(layer, Conv1D) else weight.detach()


def _bytes(layers: Iterable[nn.Module]) -> int:
    return sum(_weight(layer).nbytes for layer in layers)


def _product(weight: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")

    return forward
