"""Which rows see which keys, for rows of many runs and prompts that stand side by side.

Everything in a block but attention works on single rows. So the rows of all runs form one axis,
``(1, row, d_model)``, the family's own blocks are called on it, and only the attention function
knows that a run's row sees the keys of its unchanged prompt before the run's start, and from there
on its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from relp_sae.patching.packed.attend import attend, constants
from relp_sae.patching.packed.prompts import Prompt

KeysValues = tuple[Float[Tensor, "_ _ _ _"], Float[Tensor, "_ _ _ _"]]
"""Keys and values of a span's runs, (kv, run, pos, d_head) each."""


@dataclass(frozen=True, eq=False)
class Span:
    """Rows of runs of one prompt: the positions from ``first`` to before ``end`` of each run.

    From position ``start`` on a run sees its own keys, before it those of the unchanged prompt.
    ``rows`` is where in the row axis they stand, run by run.
    """

    prompt: Prompt
    start: int
    first: int
    end: int
    runs: int
    rows: slice | Tensor

    def of(self, x: Float[Tensor, "1 head row d_head"]) -> Float[Tensor, "head run pos d_head"]:
        """This span's part of queries, keys or values."""
        return x[0, :, self.rows].unflatten(1, (self.runs, self.end - self.first))


class Stopped(Exception):  # noqa: N818 - no error: the way out of a block at its attention
    """Carries the keys and values (1, kv, row, d_head) of a block's rows."""

    def __init__(self, key: Tensor, value: Tensor) -> None:
        super().__init__()
        self.key, self.value = key, value


class PackedAttention:
    """The attention function of one block of a packed pass.

    ``spans`` are the rows of the call; None stops the block there. ``earlier`` holds the keys and
    values of each span's runs between ``start`` and ``first``, where these two differ.
    """

    def __init__(self, block: int) -> None:
        self.block = block
        self.spans: Sequence[Span] | None = None
        self.earlier: Sequence[KeysValues | None] = ()

    def __call__(
        self,
        _module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        _mask: Tensor | None,
        **kwargs: Any,
    ) -> tuple[Float[Tensor, "1 row head d_head"], None]:
        """The family's attention on packed rows; see `attention_replaced`."""
        if self.spans is None:
            raise Stopped(key, value)
        scaling, softcap = constants(query, kwargs)
        out = query.new_empty(1, query.shape[2], query.shape[1], value.shape[3])
        of_key_heads = out[0].unflatten(1, (key.shape[1], -1))
        for span, earlier in zip(self.spans, self.earlier, strict=True):
            keys, values = span.of(key), span.of(value)
            if earlier is not None:
                keys, values = torch.cat([earlier[0], keys], 2), torch.cat([earlier[1], values], 2)
            prompt_keys, prompt_values = span.prompt.keys_values[self.block]
            shared = prompt_keys[:, : span.start], prompt_values[:, : span.start]
            mask = span.prompt.masks[self.block][span.first : span.end, : span.end]
            own = keys, values
            mixed = attend(span.of(query), own, shared, mask, scaling, softcap)
            of_key_heads[span.rows] = mixed
        return out, None
