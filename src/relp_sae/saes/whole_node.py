"""Whole nodes: all of x at a (site, position) as one unit, as a dictionary without features."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from relp_sae.models import LanguageModel
from relp_sae.records import WHOLE_NODE, Site
from relp_sae.saes.dictionary import Code, Dictionary
from relp_sae.tensors import Decoder, Resid

NODE_KINDS = ("resid_pre", "attn_out", "mlp_out")
"""The nodes of RelP's own table (Jafari et al. 2025, arXiv 2508.21258)."""


@dataclass(frozen=True, eq=False)
class WholeNode:
    """A dictionary with no feature: everything is remainder, and the remainder is the unit."""

    site: Site
    W_dec: Decoder
    source: str = "whole node"
    model_name: str = ""
    d_sae: int = 0
    remainder: int = WHOLE_NODE

    @property
    def reads(self) -> Site:
        """The same site."""
        return self.site

    @property
    def d_in(self) -> int:
        """The width of the site."""
        return self.W_dec.shape[1]

    def encode(self, x: Resid) -> Code:
        """No features, no offset."""
        return Code(x[..., :0], torch.zeros_like(x))

    def decode(self, code: Code) -> Resid:
        """Nothing: zeros."""
        return code.offset

    def sha256(self) -> str:
        """There are no weights."""
        return ""


def whole_nodes(model: LanguageModel, kinds: Iterable[str] = NODE_KINDS) -> dict[Site, Dictionary]:
    """A whole node at every layer for each kind of site."""
    like = {"device": model.device, "dtype": model.dtype}
    sites = [Site(layer, kind) for layer in range(model.n_layers) for kind in kinds]
    return {site: WholeNode(site, torch.zeros(0, model.width(site), **like)) for site in sites}
