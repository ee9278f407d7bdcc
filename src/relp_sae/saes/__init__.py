"""Sparse autoencoders: load any SAELens SAE, encode, decode, splice."""

from relp_sae.saes.dictionary import Code, Dictionary
from relp_sae.saes.fit import require_fit, require_same_model
from relp_sae.saes.loading import load_saes
from relp_sae.saes.splice import reconstructed, spliced
from relp_sae.saes.whole_node import whole_nodes

__all__ = [
    "Code",
    "Dictionary",
    "load_saes",
    "reconstructed",
    "require_fit",
    "require_same_model",
    "spliced",
    "whole_nodes",
]
