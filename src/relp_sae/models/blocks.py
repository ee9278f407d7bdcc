"""Calling the model's decoder blocks outside its own pass, and leaving some out of a pass.

How a family calls its blocks (position ids, rotary tables, and what else it computes from them) is
not repeated here. The model's own loop is run with blocks that do nothing, and what it gives to
them is kept.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from relp_sae.models.language_model import LanguageModel
from relp_sae.tensors import Resid


@dataclass(frozen=True)
class BlockCall:
    """A block and what the model gives to it beside the stream."""

    block: nn.Module
    args: tuple
    kwargs: dict[str, Any]

    def __call__(self, x: Float[Tensor, "1 row d_model"]) -> Float[Tensor, "1 row d_model"]:
        """The stream after the block."""
        after = self.block(x, *self.args, **self.kwargs)
        return after[0] if isinstance(after, tuple) else after


@torch.no_grad()
def block_calls(model: LanguageModel, positions: Int[Tensor, "row"]) -> list[BlockCall]:
    """How the model calls each of its blocks on one row of tokens that stand at ``positions``.

    Positions may repeat: rows of many prompts can stand side by side. Everything in a block works
    on single rows but attention, for which these calls hold no mask: it has to be replaced (see
    ``LanguageModel.attention_replaced``) by a function that knows which rows see each other.
    """
    calls: list[BlockCall] = []

    def record(block: nn.Module) -> Callable[..., Any]:
        def forward(x: Tensor, *args: Any, **kwargs: Any) -> Any:
            calls.append(BlockCall(block, args, kwargs))
            return _as_block(model, x)

        return forward

    nothing = torch.zeros((), device=model.device, dtype=model.dtype)
    with ExitStack() as undo:
        for block in model.blocks:
            _override(block, record(block), undo)
        model.base(
            inputs_embeds=nothing.expand(1, len(positions), model.d_model),
            position_ids=positions[None].to(model.device),
            attention_mask=nothing.expand(1, 1, 1, 1),  # of this shape it is taken as it is
            use_cache=False,
        )
    return calls


@contextmanager
def started_at(model: LanguageModel, layer: int, x: Resid) -> Iterator[None]:
    """Inside the context every pass begins at block ``layer``, whose input is ``x``.

    The tokens that a pass is called with only say how many prompts and positions there are; they
    have to be as many as ``x`` has. The blocks before ``layer`` are not run.
    """

    def replaced(_block: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict]:
        if args:
            return (x, *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": x}

    with ExitStack() as undo:
        for block in model.blocks[:layer]:
            _override(block, lambda x, *_args, **_kwargs: _as_block(model, x), undo)
        # First of the block's hooks: others, such as an addition at its input, come after it.
        handle = model.blocks[layer].register_forward_pre_hook(
            replaced, prepend=True, with_kwargs=True
        )
        undo.callback(handle.remove)
        yield


def _as_block(model: LanguageModel, x: Tensor) -> Any:
    """``x`` as the model's own loop expects it of a block."""
    return (x, None) if model.family.blocks_return_tuples else x


def _override(block: nn.Module, forward: Callable[..., Any], undo: ExitStack) -> None:
    """Put ``forward`` before the block's own, which is its class's, until ``undo``."""
    if "forward" in vars(block):
        raise RuntimeError("a block whose forward is overridden already cannot be passed over")
    block.forward = forward
    undo.callback(delattr, block, "forward")
