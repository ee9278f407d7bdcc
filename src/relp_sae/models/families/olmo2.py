"""OLMo 2: norms behind attention and MLP only, and over all queries and all keys of a token."""

from dataclasses import replace

from relp_sae.models.families.llama import LLAMA
from relp_sae.models.family import families

families.register("olmo2")(
    replace(
        LLAMA,
        mlp_norm="",
        norms=(
            *("self_attn.q_norm", "self_attn.k_norm"),
            *("post_attention_layernorm", "post_feedforward_layernorm"),
        ),
        attention_out="post_attention_layernorm",
        mlp_out="post_feedforward_layernorm",
    )
)
