"""Another attention function for one model, for a while.

Goes through transformers' public attention interface, so that a family's projections, rotary
embeddings and output projection stay its own.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

from relp_sae.models.language_model import LanguageModel

AttentionFunction = Callable[..., Any]
"""``(module, query, key, value, mask, **kwargs) -> (output, pattern or None)``; query, key and
value are (batch, head, pos, d_head), the output is (batch, pos, head, d_head)."""

_NAME = "relp_sae"
_acting: WeakKeyDictionary[nn.Module, AttentionFunction] = WeakKeyDictionary()


def _dispatch(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
    """The attention function under our name: what acts at this very module."""
    return _acting[module](module, *args, **kwargs)


AttentionInterface.register(_NAME, _dispatch)
# Without a mask function of the same name the mask would be None and attention not causal.
AttentionMaskInterface.register(_NAME, eager_mask)


@contextmanager
def attention_replaced(
    model: LanguageModel, functions: Mapping[nn.Module, AttentionFunction]
) -> Iterator[None]:
    """Inside the context each attention module calls its function; all modules need one.

    The mask that a function gets is the family's own, 0 where a query sees a key and the type's
    minimum elsewhere. A context inside another one gives way to it afterwards.
    """
    with ExitStack() as undo:
        undo.callback(model.hf.set_attn_implementation, model.config._attn_implementation)
        for module, function in functions.items():
            if module in _acting:
                undo.callback(_acting.__setitem__, module, _acting[module])
            else:
                undo.callback(_acting.pop, module)
            _acting[module] = function
        model.hf.set_attn_implementation(_NAME)
        yield


def eager_attention(module: nn.Module) -> AttentionFunction:
    """The eager attention function of the family that an attention module belongs to."""
    return sys.modules[type(module).__module__].eager_attention_forward
