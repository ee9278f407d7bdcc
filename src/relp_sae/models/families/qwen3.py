"""Qwen 3: Llama's parts, and a norm over each head's query and key."""

from dataclasses import replace

from relp_sae.models.families.llama import LLAMA
from relp_sae.models.family import families

families.register("qwen3")(
    replace(
        LLAMA,
        norms=(
            *("input_layernorm", "self_attn.q_norm", "self_attn.k_norm"),
            "post_attention_layernorm",
        ),
    )
)
