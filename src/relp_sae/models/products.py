"""Linear layers through oneDNN, on a CPU in float32.

PyTorch gives float32 products to MKL, which on many processors is slower than oneDNN, the more so
for few rows and once the weights are laid out for it. These are the operators that torch.compile
uses with frozen weights.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers.pytorch_utils import Conv1D

from relp_sae.models.language_model import LanguageModel
from relp_sae.models.memory import out_of_memory


class _LaidOut(NamedTuple):
    weight: Tensor
    transposed: Tensor | None  # for the backward pass, where there is one
    of: tuple[int, int]  # where the layer's own weight was, and its version, when it was copied


class Products:
    """Makes a model's linear layers multiply faster for a while, and keeps the laid out weights.

    The copies take at most ``limit`` bytes. Where that has no room for them each product lays its
    weight out anew, which costs a few per cent.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._laid_out: WeakKeyDictionary[nn.Module, _LaidOut] = WeakKeyDictionary()

    @contextmanager
    def faster(
        self, model: LanguageModel, blocks: slice, *, backward: bool = False
    ) -> Iterator[None]:
        """Inside the context linear layers of these of the model's blocks use oneDNN.

        ``backward`` is for slopes with respect to activations; the weights are constants. On other
        devices and in other types, and where something else took a layer's forward over, nothing
        is changed.
        """
        layers = _linear_layers(model, blocks) if _has_onednn(model) else []
        self._lay_out(layers, backward)
        with ExitStack() as undo:
            for layer in layers:
                layer.forward = _product(self._kept(layer), getattr(layer, "bias", None), backward)
                undo.callback(delattr, layer, "forward")
            yield

    def _lay_out(self, layers: list[nn.Module], backward: bool) -> None:
        """Copy the layers' weights, if there is room for all of them."""
        for layer in list(self._laid_out):
            if self._laid_out[layer].of != _state(layer):
                del self._laid_out[layer]
        copies = 2 if backward else 1
        new = [layer for layer in layers if self._copies(layer) < copies]
        others = set(self._laid_out).difference(new)
        needed = copies * sum(_weight(layer).nbytes for layer in new)
        if needed + sum(self._copies(one) * _weight(one).nbytes for one in others) > self._limit:
            return
        try:
            for layer in new:
                weight = _weight(layer)
                transposed = _laid_out(weight.T) if backward else None
                self._laid_out[layer] = _LaidOut(_laid_out(weight), transposed, _state(layer))
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise  # otherwise the rest multiplies without copies

    def _copies(self, layer: nn.Module) -> int:
        kept = self._laid_out.get(layer)
        return 0 if kept is None else 1 if kept.transposed is None else 2

    def _kept(self, layer: nn.Module) -> _LaidOut:
        """The layer's weight both ways, laid out as far as there was room."""
        weight = _weight(layer)
        kept = self._laid_out.get(layer, _LaidOut(weight, weight.T, _state(layer)))
        return kept if kept.transposed is not None else kept._replace(transposed=weight.T)


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


def _laid_out(weight: Tensor) -> Tensor:
    return torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), None)


def _product(kept: _LaidOut, bias: Tensor | None, backward: bool) -> Callable[[Tensor], Tensor]:
    if backward:
        return lambda x: _Differentiable.apply(x, kept, bias)
    return lambda x: _multiplied(x, kept.weight, bias)


def _multiplied(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


class _Differentiable(torch.autograd.Function):
    """x W^T + b, with the slope g W with respect to x alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kept: _LaidOut, bias: Tensor | None) -> Tensor:
        ctx.kept = kept
        return _multiplied(x, kept.weight, bias)

    @staticmethod
    @once_differentiable  # hides the parameters' names from the type checker
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor, None, None]:
        (slope,) = grad_outputs
        return _multiplied(slope, ctx.kept.transposed, None), None, None
