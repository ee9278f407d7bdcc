"""How the rows of many runs stand side by side, and how the model's blocks are called on them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from relp_sae.models import BlockCall, LanguageModel, block_calls
from relp_sae.patching.packed.attention import KeysValues, PackedAttention, Span, Stopped
from relp_sae.patching.packed.prompts import Prompt

Stream = Float[Tensor, "row d_model"]


class Part(NamedTuple):
    """Rows that follow each other, run by run: the positions from ``first`` to before ``end``.

    From ``start`` on a run has keys of its own.
    """

    prompt: Prompt
    start: int
    first: int
    end: int
    runs: int

    @property
    def rows(self) -> int:
        """How many."""
        return self.runs * (self.end - self.first)


@dataclass(frozen=True, eq=False)
class Layout:
    """Parts in the order of their rows, of one model."""

    model: LanguageModel
    attention: Sequence[PackedAttention]
    parts: Sequence[Part]

    @cached_property
    def positions(self) -> Int[Tensor, "row"]:
        """The position of each row."""
        each = [torch.arange(one.first, one.end).repeat(one.runs) for one in self.parts]
        return torch.cat(each).to(self.model.device)

    @cached_property
    def is_last(self) -> Bool[Tensor, "row"]:
        """Which rows stand at the last position of their prompt."""
        each = [
            torch.arange(one.first, one.end).eq(one.prompt.length - 1).repeat(one.runs)
            for one in self.parts
        ]
        return torch.cat(each).to(self.model.device)

    @cached_property
    def spans(self) -> list[Span]:
        """The rows by prompt, start and positions: what attention computes together."""
        alike: dict[Part, list[tuple[int, int]]] = {}
        runs: Counter[Part] = Counter()
        begin = 0
        for part in self.parts:
            key, end = part._replace(runs=0), begin + part.rows
            alike.setdefault(key, []).append((begin, end))
            runs[key] += part.runs
            begin = end
        return [
            Span(key.prompt, key.start, key.first, key.end, runs[key], self._rows(ranges))
            for key, ranges in alike.items()
        ]

    def _rows(self, ranges: Sequence[tuple[int, int]]) -> slice | Tensor:
        """The rows in these ranges: a slice, which copies nothing, where they touch each other."""
        if all(end == begin for (_, end), (begin, _) in pairwise(ranges)):
            return slice(ranges[0][0], ranges[-1][1])
        rows = torch.cat([torch.arange(begin, end) for begin, end in ranges])
        return rows.to(self.model.device)

    @cached_property
    def _calls(self) -> list[BlockCall]:
        return block_calls(self.model, self.positions)

    def through(self, block: int, x: Stream, earlier: Sequence[KeysValues | None] = ()) -> Stream:
        """The stream of the rows after a block.

        ``earlier`` holds for each span the keys and values of its runs' positions before
        ``first``, where they were computed apart.
        """
        attention = self.attention[block]
        attention.spans, attention.earlier = self.spans, earlier or [None] * len(self.spans)
        return self._calls[block](x[None])[0]

    def keys_values(self, block: int, x: Stream) -> list[KeysValues]:
        """Each span's keys and values in a block, of which nothing else is run."""
        attention = self.attention[block]
        attention.spans = None
        try:
            self._calls[block](x[None])
        except Stopped as found:
            return [(span.of(found.key), span.of(found.value)) for span in self.spans]
        raise AssertionError("the block ran without its attention")
