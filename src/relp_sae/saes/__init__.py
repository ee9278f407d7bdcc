"""Sparse autoencoders and transcoders: load any of SAELens', encode, decode, splice."""

from relp_sae.saes.dictionary import Code, Dictionary
from relp_sae.saes.loading import BUNDLED, load_saes, require_fit
from relp_sae.saes.splice import changed, reconstructed, spliced
from relp_sae.saes.whole_node import whole_nodes

__all__ = [
    "BUNDLED",
    "Code",
    "Dictionary",
    "changed",
    "load_saes",
    "reconstructed",
    "require_fit",
    "spliced",
    "whole_nodes",
]
