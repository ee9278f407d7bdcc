"""Sparse autoencoders and transcoders: load any of SAELens', encode, decode, splice."""

from relp_sae.saes.dictionary import Code, Dictionary
from relp_sae.saes.error_term import HeldErrors, error_terms
from relp_sae.saes.fit import require_fit, require_same_model
from relp_sae.saes.loading import load_saes
from relp_sae.saes.splice import changed, reconstructed, spliced
from relp_sae.saes.whole_node import whole_nodes

__all__ = [
    "Code",
    "Dictionary",
    "HeldErrors",
    "changed",
    "error_terms",
    "load_saes",
    "reconstructed",
    "require_fit",
    "require_same_model",
    "spliced",
    "whole_nodes",
]
