"""How a family calls its attention function, and how another one takes its place for a while.

The projections, rotary embeddings and output projection around the function stay the family's own.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Protocol, runtime_checkable
from weakref import WeakKeyDictionary

from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import eager_mask

AttentionFunction = Callable[..., Any]
"""``(module, query, key, value, mask, **kwargs) -> (output, pattern or None)``; query, key and
value are (batch, head, pos, d_head), the output is (batch, pos, head, d_head)."""


@runtime_checkable
class AttentionCalls(Protocol):
    """How a family calls its attention function."""

    def eager(self, module: nn.Module) -> AttentionFunction:
        """The family's own function of an attention module; keys may be more than queries."""
        ...

    def replaced(
        self, hf: PreTrainedModel, functions: Mapping[nn.Module, AttentionFunction]
    ) -> AbstractContextManager[None]:
        """Inside the context each attention module calls its function; all modules need one.

        The mask that a function gets is the family's own, 0 where a query sees a key and the
        type's minimum elsewhere. A context inside another one gives way to it afterwards. What
        acts is kept by `acting` and called through `dispatch`, so that it can be asked for.
        """
        ...


_NAME = "relp_sae"
_acting: WeakKeyDictionary[nn.Module, AttentionFunction] = WeakKeyDictionary()


def acting_function(module: nn.Module) -> AttentionFunction | None:
    """What takes the place of a module's own attention function, if anything does."""
    return _acting.get(module)


def dispatch(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
    """Call what acts at this very module."""
    return _acting[module](module, *args, **kwargs)


@contextmanager
def acting(functions: Mapping[nn.Module, AttentionFunction]) -> Iterator[None]:
    """Inside the context ``dispatch`` calls these functions, and then those before again."""
    with ExitStack() as undo:
        for module, function in functions.items():
            if module in _acting:
                undo.callback(_acting.__setitem__, module, _acting[module])
            else:
                undo.callback(_acting.pop, module)
            _acting[module] = function
        yield


AttentionInterface.register(_NAME, dispatch)
# Without a mask function of the same name the mask would be None and attention not causal.
AttentionMaskInterface.register(_NAME, eager_mask)


class ThroughInterface:
    """The public attention interface of transformers: nearly every family."""

    def eager(self, module: nn.Module) -> AttentionFunction:
        """See `AttentionCalls`."""
        return sys.modules[type(module).__module__].eager_attention_forward

    @contextmanager
    def replaced(
        self, hf: PreTrainedModel, functions: Mapping[nn.Module, AttentionFunction]
    ) -> Iterator[None]:
        """See `AttentionCalls`."""
        before: Any = hf.config._attn_implementation
        with ExitStack() as undo:
            undo.callback(hf.set_attn_implementation, before)
            undo.enter_context(acting(functions))
            hf.set_attn_implementation(_NAME)
            yield
