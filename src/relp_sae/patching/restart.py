"""A run of a prompt that can be restarted at a block, from any position on.

A patch changes some sites at some positions. Nothing before the first of the blocks changes, and
nothing at earlier positions, so a restart calls the blocks from the first site's on, for the
positions from the first changed one on; attention finds the keys and values of earlier positions
in the base run's.

How a family calls its blocks (masks, position ids, rotary tables) is not repeated here: the model
itself is run once for each (length, start), and the arguments that it gives to its blocks are kept.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import Cache, DynamicCache

from relp_sae.models import LanguageModel, at_sites
from relp_sae.records import Site
from relp_sae.tensors import Logits

Additions = Float[Tensor, "runs pos d_model"]
"""What each run adds at a site, at each position from the restart on."""

CACHE = object()
"""Stands in recorded arguments where the model gave a key-value cache."""


@dataclass(frozen=True)
class FrozenPrefix:
    """Stands for a key-value cache: shows the base run's prefix, and keeps nothing."""

    keys_values: list[tuple[Tensor, Tensor]]
    length: int

    def update(
        self, keys: Tensor, values: Tensor, layer: int, *_args: Any, **_kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """The prefix and the new keys and values together, (batch, heads, pos, d_head) each."""
        whole = []
        for base, new in zip(self.keys_values[layer], (keys, values), strict=True):
            prefix = base[:, :, : self.length].expand(len(new), -1, -1, -1)
            whole.append(torch.cat([prefix, new], dim=2))
        return whole[0], whole[1]


@dataclass(frozen=True)
class BaseRun:
    """A prompt's run, with what a restart at block ``layer`` needs."""

    model: LanguageModel
    ids: tuple[int, ...]
    layer: int

    @cached_property
    def _state(self) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """The input (pos, d_model) of the block, and keys and values of every layer."""
        entry: list[Tensor] = []
        cache = DynamicCache(config=self.model.config)
        with torch.no_grad(), at_sites(self.model, {Site(self.layer, "resid_pre"): entry.append}):
            self.model.hf(
                input_ids=self.model.token_ids(self.ids),
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
        return entry[0][0], [cast("tuple[Tensor, Tensor]", layer[:2]) for layer in cache]

    @torch.no_grad()
    def restarted(
        self, start: int, additions: Mapping[Site, Additions], calls: "BlockCalls"
    ) -> Logits:
        """Last logits of several runs, each with its own steps added to x from ``start`` on.

        ``additions`` holds for each site, none before block ``layer``, what every run adds there
        at the positions from ``start`` on.
        """
        entry, keys_values = self._state
        batch = len(next(iter(additions.values())))
        prefix = FrozenPrefix(keys_values, start)
        hidden = entry[start:].expand(batch, -1, -1)
        recorded = calls.of(self, start)  # may run the model, which must not see the steps
        with at_sites(self.model, {site: _adding(added) for site, added in additions.items()}):
            for block, arguments in recorded:
                filled = {
                    name: prefix if value is CACHE else value for name, value in arguments.items()
                }
                hidden = block(hidden, **filled)
        return self.model.unembed(hidden[:, -1])

    def record_calls(self, start: int) -> list[tuple[nn.Module, dict[str, Any]]]:
        """The arguments of each block from ``layer`` on when the positions from ``start`` run."""
        _, keys_values = self._state
        cache = DynamicCache(config=self.model.config)
        if start:
            for layer, (keys, values) in enumerate(keys_values):
                cache.update(keys[:, :, :start], values[:, :, :start], layer)
        calls: list[tuple[nn.Module, dict[str, Any]]] = []
        handles = []
        for block in self.model.blocks[self.layer :]:

            def record(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
                bound = inspect.signature(module.forward).bind(*args, **kwargs)
                arguments = dict(bound.arguments)
                extra = arguments.pop("kwargs", {})
                arguments.pop("hidden_states")
                # The cache itself is not kept: a restart puts its own prefix in its place.
                kept = {
                    name: CACHE if isinstance(value, Cache) else value
                    for name, value in (arguments | extra).items()
                }
                calls.append((module, kept))

            handles.append(block.register_forward_pre_hook(record, with_kwargs=True))
        try:
            with torch.no_grad():
                self.model.hf(
                    input_ids=self.model.token_ids(self.ids[start:]),
                    past_key_values=cache,
                    use_cache=True,
                    logits_to_keep=1,
                )
        finally:
            for handle in handles:
                handle.remove()
        return calls


def _adding(added: Additions) -> Callable[[Tensor], Tensor]:
    return lambda _x: added


class BlockCalls:
    """Recorded block arguments, which depend only on the prompt's length and the start."""

    def __init__(self) -> None:
        self._recorded: dict[tuple[int, int, int], list[tuple[nn.Module, dict[str, Any]]]] = {}

    def of(self, base: BaseRun, start: int) -> list[tuple[nn.Module, dict[str, Any]]]:
        """The calls of a base run's restart at ``start``, recorded at the first request."""
        key = (base.layer, len(base.ids), start)
        if key not in self._recorded:
            self._recorded[key] = base.record_calls(start)
        return self._recorded[key]
