"""Gemma 2: norms before and behind attention and MLP, soft caps, sliding windows in turns."""

from dataclasses import replace

from relp_sae.models.families.gemma import GEMMA
from relp_sae.models.family import families

GEMMA2 = replace(
    GEMMA,
    mlp_norm="pre_feedforward_layernorm",
    norms=(
        *("input_layernorm", "post_attention_layernorm"),
        *("pre_feedforward_layernorm", "post_feedforward_layernorm"),
    ),
    activation_name="hidden_activation",
    attention_out="post_attention_layernorm",
    mlp_out="post_feedforward_layernorm",
    soft_cap="final_logit_softcapping",
)

families.register("gemma2")(GEMMA2)
