"""A Hugging Face causal language model with its parts found by role."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from relp_sae.errors import InputError
from relp_sae.models.attention import AttentionFunction, acting_function
from relp_sae.models.family import Family, Gate, Norm, Role
from relp_sae.models.soft_cap import SoftCap
from relp_sae.models.weights import weights_sha256
from relp_sae.records import Site
from relp_sae.records.site import KINDS
from relp_sae.tensors import Logits, Tokens


@dataclass(frozen=True)
class Branch:
    """One factor of a gate: a part of what ``module`` puts out, of ``parts`` side by side."""

    module: nn.Module
    index: int = 0
    parts: int = 1

    def of(self, output: Tensor) -> Tensor:
        """The factor."""
        return output.chunk(self.parts, dim=-1)[self.index]


@dataclass(frozen=True)
class Place:
    """One part of the model that plays a role.

    ``module`` is the part itself; for a gate it is the projection that takes the product, and
    ``branches`` are the two whose outputs are multiplied. ``function`` names an activation's.
    """

    role: Role
    name: str
    module: nn.Module
    branches: tuple[Branch, ...] = ()
    function: str = ""


@dataclass(frozen=True)
class LanguageModel:
    """A causal language model in evaluation state, its tokenizer, and its family's declaration.

    The begin-of-sequence token of prompts is ``tokenizer.bos_token_id`` (none if that is None).
    """

    name: str
    hf: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    family: Family

    @cached_property
    def blocks(self) -> list[nn.Module]:
        """The decoder blocks, first to last."""
        return list(self.module(self.family.blocks).children())

    @property
    def n_layers(self) -> int:
        return len(self.blocks)

    @property
    def d_model(self) -> int:
        return self.config.hidden_size

    @property
    def config(self) -> Any:
        """The language model's configuration."""
        return self.hf.config.get_text_config()

    @cached_property
    def base(self) -> nn.Module:
        """The part that runs the blocks and the final norm, without the unembedding."""
        return self.module(self.family.base) if self.family.base else self.hf.base_model

    @cached_property
    def soft_cap(self) -> SoftCap | None:
        """What the logits pass through at the end, where the model has that."""
        cap = getattr(self.config, self.family.soft_cap) if self.family.soft_cap else None
        return None if cap is None else SoftCap(cap)

    def attention_replaced(
        self, functions: Mapping[nn.Module, AttentionFunction]
    ) -> AbstractContextManager[None]:
        """Inside the context each attention module calls its function; see `AttentionCalls`."""
        return self.family.attention_calls.replaced(self.hf, functions)

    def acting_attention(self, module: nn.Module) -> AttentionFunction:
        """What an attention module calls now: what replaced its function, or the family's own."""
        return acting_function(module) or self.eager_attention(module)

    def eager_attention(self, module: nn.Module) -> AttentionFunction:
        """The family's own attention function of an attention module."""
        return self.family.attention_calls.eager(module)

    @property
    def device(self) -> torch.device:
        return self.hf.device

    @property
    def dtype(self) -> torch.dtype:
        return self.hf.dtype

    @property
    def norm(self) -> Norm:
        return self.family.norm

    @property
    def activation_name(self) -> str:
        """The name of the activation function, as the configuration gives it."""
        return getattr(self.config, self.family.activation_name)

    def module(self, path: str) -> nn.Module:
        """The part at a dotted path.

        Raises:
            InputError: the model has no such part, so its family's declaration does not fit it.
        """
        try:
            return self.hf.get_submodule(path)
        except AttributeError as error:
            raise InputError(
                f"{self.name} has no part '{path}', which its family "
                f"'{self.config.model_type}' declares. Is it a causal language model?"
            ) from error

    def in_block(self, layer: int, part: str) -> nn.Module:
        """A part of block ``layer``."""
        return self.module(f"{self.family.blocks}.{layer}.{part}")

    def places(self, role: Role) -> list[Place]:
        """Every place of a role, in the order of the forward pass."""
        family = self.family
        if role is Role.GATE:
            return [] if family.gate is None else self._gates(family.gate)
        parts = {
            Role.NORM: family.norms,
            Role.ACTIVATION: (family.activation,),
            Role.ATTENTION: (family.attention,),
        }[role]
        paths = [f"{family.blocks}.{layer}.{p}" for layer in range(self.n_layers) for p in parts]
        if role is Role.NORM:
            paths.append(family.final_norm)
        function = self.activation_name if role is Role.ACTIVATION else ""
        places = [Place(role, path, self.module(path), function=function) for path in paths]
        if role is Role.ACTIVATION and self.soft_cap is not None:
            places.append(Place(role, family.soft_cap, self.soft_cap.tanh, function="tanh"))
        return places

    def _gates(self, gate: Gate) -> list[Place]:
        return [
            Place(
                Role.GATE,
                f"{self.family.blocks}.{layer}.{gate.into}",
                self.in_block(layer, gate.into),
                (
                    Branch(self.in_block(layer, gate.left)),
                    Branch(self.in_block(layer, gate.right), *gate.right_part),
                ),
            )
            for layer in range(self.n_layers)
        ]

    def require_site(self, site: Site) -> None:
        """Check that the model has ``site``.

        Raises:
            InputError: the layer is out of range, or the blocks have no such point.
        """
        if site.layer >= self.n_layers:
            raise InputError(
                f"{self.name} has no site {site}: its layers are 0 to {self.n_layers - 1}."
            )
        if site.kind in self._absent_kinds:
            raise InputError(
                f"{self.name} has no site {site}: {self._absent_kinds[site.kind]}. "
                f"It has {', '.join(self.site_kinds)}."
            )

    @property
    def site_kinds(self) -> tuple[str, ...]:
        """The kinds of sites that the blocks have."""
        return tuple(kind for kind in KINDS if kind not in self._absent_kinds)

    @cached_property
    def _absent_kinds(self) -> dict[str, str]:
        """The kinds of sites that the blocks have not, with the reason."""
        absent = {}
        if self.family.parallel(self.config):
            absent["resid_mid"] = (
                "in its blocks attention and MLP stand side by side, so there is nothing between "
                "them"
            )
        if not self.family.mlp_norm:
            absent["mlp_normalized"] = "its MLPs read the stream itself, not a norm of it"
        return absent

    def width(self, site: Site) -> int:
        """How many numbers an activation at a site is: d_model, or n_heads * d_head at z."""
        if site.kind != "z":
            return self.d_model
        # Linear layers hold (out, in) and GPT-2's (in, out); out is d_model.
        weight = self.in_block(site.layer, self.family.projection).weight
        assert isinstance(weight, Tensor)
        return weight.numel() // self.d_model

    def last_logits(self, ids: Tokens) -> Logits:
        """Logits at the last position of unpadded token ids; shape (batch, vocab)."""
        # The head of many rows at once: given (batch, 1, d_model), it is read once for each row.
        hidden = self.base(input_ids=ids, use_cache=False).last_hidden_state
        return self.head(hidden[:, -1])

    def head(self, hidden: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch vocab"]:
        """Logits from what ``base`` puts out, behind the final norm."""
        return self._capped(self.module(self.family.unembed)(hidden))

    def unembed(
        self, last: Float[Tensor, "batch d_model"], tokens: Int[Tensor, "vocab"] | None = None
    ) -> Logits:
        """Logits of ``tokens``, or of all, from the last block's output."""
        hidden = self.module(self.family.final_norm)(last)
        if tokens is None:
            return self.head(hidden)
        bias = getattr(self.module(self.family.unembed), "bias", None)
        chosen = self.unembedding()[tokens], None if bias is None else bias[tokens]
        return self._capped(nn.functional.linear(hidden, *chosen))

    def _capped(self, logits: Float[Tensor, "*batch vocab"]) -> Float[Tensor, "*batch vocab"]:
        return logits if self.soft_cap is None else self.soft_cap(logits)

    def unembedding(self) -> Float[Tensor, "vocab d_model"]:
        """The unembedding matrix W_U, one row per token."""
        weight = self.module(self.family.unembed).weight
        assert isinstance(weight, Tensor)
        return weight.detach()

    def token_ids(self, ids: tuple[int, ...]) -> Tokens:
        """One prompt's ids as a batch of one on the model's device."""
        return torch.tensor([ids], device=self.device)

    def sha256(self) -> str:
        """A hash over all weights."""
        return weights_sha256(self.hf)
