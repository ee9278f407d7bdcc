"""Passes over the later positions of prompts, whose earlier ones are known."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from relp_sae.models.attention import AttentionFunction
from relp_sae.models.family import Role
from relp_sae.models.language_model import LanguageModel


@dataclass(frozen=True)
class Earlier:
    """Keys and values of a block's earlier positions, and who sees whom there, for each prompt.

    A pass has ``rows`` rows for each of them, side by side.
    ``mask`` is 0 where a later position (query) sees an earlier or a later one (key), and the
    type's minimum elsewhere: also at keys that fill up rows with fewer earlier positions.
    """

    key: Float[Tensor, "prompt kv earlier d_head"]
    value: Float[Tensor, "prompt kv earlier d_head"]
    mask: Float[Tensor, "prompt query key"]
    rows: int

    def of_rows(self, x: Tensor) -> Tensor:
        """One for each prompt as one for each row."""
        return x.repeat_interleave(self.rows, dim=0)


@contextmanager
def continued(model: LanguageModel, earlier: Mapping[int, Earlier]) -> Iterator[None]:
    """Inside the context the rows of a pass follow on earlier positions, given by block.

    Whatever acts at an attention module - the family's own function, or a rule - gets the earlier
    keys and values along with those of the pass, and the mask over both.
    """
    functions = {}
    for block, place in enumerate(model.places(Role.ATTENTION)):
        acting = model.acting_attention(place.module)
        known = earlier.get(block)
        functions[place.module] = acting if known is None else _continuing(acting, known)
    with model.attention_replaced(functions):
        yield


def _continuing(acting: AttentionFunction, earlier: Earlier) -> AttentionFunction:
    def attention(
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        _mask: Tensor | None,
        **kwargs: Any,
    ) -> Any:
        keys = torch.cat([earlier.of_rows(earlier.key), key], dim=2)
        values = torch.cat([earlier.of_rows(earlier.value), value], dim=2)
        mask = earlier.of_rows(earlier.mask)[:, None]
        return acting(module, query, keys, values, mask, **kwargs)

    return attention
