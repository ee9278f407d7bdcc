"""Linear layers through oneDNN, on a CPU in float32.

PyTorch gives float32 products to MKL, which on many processors is slower than oneDNN, the more so
for few rows and once the weights are laid out for it. These are the operators that torch.compile
uses with frozen weights.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from relp_sae.models.language_model import LanguageModel
from relp_sae.models.memory import WEIGHTS, budget_of, out_of_memory


class _LaidOut(NamedTuple):
    weight: Tensor
    of: tuple[int, int]  # where the layer's own weight was, and its version, when it was copied


class Products:
    """Makes a model's linear layers multiply faster for a while, and keeps the laid out weights.

    ``memory`` is the budget in bytes of which the copies take their share; None: found
    automatically. Where it has no room for them each product lays its weight out anew, which
    costs a few per cent.
    """

    def __init__(self, memory: int | None) -> None:
        self._memory = memory
        self._laid_out: WeakKeyDictionary[nn.Module, _LaidOut] = WeakKeyDictionary()

    @contextmanager
    def faster(self, model: LanguageModel, blocks: slice) -> Iterator[None]:
        """Inside the context linear layers of these of the model's blocks use oneDNN.

        On other devices and in other types, and where something else took a layer's forward over,
        nothing is changed.
        """
        layers = _linear_layers(model, blocks) if _has_onednn(model) else []
        self._lay_out(layers, model.device)
        with ExitStack() as undo:
            for layer in layers:
                kept = self._laid_out.get(layer)
                weight = _weight(layer) if kept is None else kept.weight
                layer.forward = _product(weight, getattr(layer, "bias", None))
                undo.callback(delattr, layer, "forward")
            yield

    def _lay_out(self, layers: list[nn.Module], device: torch.device) -> None:
        """Copy the layers' weights, if the budget has room for all of them."""
        for layer in list(self._laid_out):
            if self._laid_out[layer].of != _state(layer):
                del self._laid_out[layer]
        new = [layer for layer in layers if layer not in self._laid_out]
        room = WEIGHTS * budget_of(device, self._memory) - _bytes(self._laid_out)
        if _bytes(new) > room:
            return
        try:
            for layer in new:
                weight = torch.ops.mkldnn._reorder_linear_weight(_weight(layer).contiguous(), None)
                self._laid_out[layer] = _LaidOut(weight, _state(layer))
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise  # otherwise the rest multiplies without copies


def _has_onednn(model: LanguageModel) -> bool:
    return (
        model.device.type == "cpu"
        and model.dtype == torch.float32
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def _linear_layers(model: LanguageModel, blocks: slice) -> list[nn.Module]:
    parts = [part for block in model.blocks[blocks] for part in block.modules()]
    return [one for one in parts if type(one) in (nn.Linear, Conv1D) and "forward" not in vars(one)]


def _weight(layer: nn.Module) -> Tensor:
    """(out, in). Conv1D, GPT-2's linear layer, holds it the other way round."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight.detach().T if isinstance(layer, Conv1D) else weight.detach()


def _state(layer: nn.Module) -> tuple[int, int]:
    weight = _weight(layer)
    return weight.data_ptr(), weight._version


def _bytes(layers: Iterable[nn.Module]) -> int:
    return sum(_weight(layer).nbytes for layer in layers)


def _product(weight: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")

    return forward
