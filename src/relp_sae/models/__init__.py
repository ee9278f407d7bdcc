"""Loads a causal language model and says by role where its parts are."""

from relp_sae.models.blocks import BlockCall, block_calls, started_at
from relp_sae.models.continued import Earlier, continued
from relp_sae.models.language_model import LanguageModel
from relp_sae.models.loading import load_model, load_tokenizer
from relp_sae.models.massive_activations import outliers
from relp_sae.models.recording import AttentionCall, Met, record_prompts
from relp_sae.models.sites import (
    Addition,
    at_sites,
    forward_order,
    in_turn,
    read_sites,
    read_up_to,
)

__all__ = [
    "Addition",
    "AttentionCall",
    "BlockCall",
    "Earlier",
    "LanguageModel",
    "Met",
    "at_sites",
    "block_calls",
    "continued",
    "forward_order",
    "in_turn",
    "load_model",
    "load_tokenizer",
    "outliers",
    "read_sites",
    "read_up_to",
    "record_prompts",
    "started_at",
]
