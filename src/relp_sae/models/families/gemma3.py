"""Gemma 3: Gemma 2's parts, a norm over each head's query and key, local and global attention.

``gemma3_text`` is the text model by itself, ``gemma3`` the one that also reads images, of which
the language model is used.
"""

from dataclasses import replace

from relp_sae.models.families.gemma2 import GEMMA2
from relp_sae.models.family import families

TEXT = replace(
    GEMMA2,
    norms=(
        *("input_layernorm", "self_attn.q_norm", "self_attn.k_norm", "post_attention_layernorm"),
        *("pre_feedforward_layernorm", "post_feedforward_layernorm"),
    ),
)

families.register("gemma3_text")(TEXT)

families.register("gemma3")(
    replace(
        TEXT,
        base="model.language_model",
        blocks="model.language_model.layers",
        final_norm="model.language_model.norm",
    )
)
