"""Sparse autoencoders: load any SAELens SAE, encode, decode, splice."""

from relp_sae.saes.dictionary import Code, Dictionary
from relp_sae.saes.loading import BUNDLED, load_saes, require_fit
from relp_sae.saes.splice import reconstructed, spliced
from relp_sae.saes.whole_node import whole_nodes

__all__ = [
    "BUNDLED",
    "Code",
    "Dictionary",
    "load_saes",
    "reconstructed",
    "require_fit",
    "spliced",
    "whole_nodes",
]
