"""GPT-2: LayerNorm, learned positions, plain MLP."""

from typing import Any

from relp_sae.errors import InputError
from relp_sae.models.family import Family, Norm, families


def _refuse(config: Any) -> None:
    # Both take another code path than the attention function that the rules replace.
    if config.reorder_and_upcast_attn:
        raise InputError("GPT-2 with reorder_and_upcast_attn=True is not supported.")
    if config.add_cross_attention:
        raise InputError("GPT-2 with cross-attention is not supported.")


GPT2 = Family(
    blocks="transformer.h",
    final_norm="transformer.ln_f",
    unembed="lm_head",
    attention="attn",
    projection="attn.c_proj",
    mlp="mlp",
    mlp_norm="ln_2",
    norms=("ln_1", "ln_2"),
    norm=Norm(centred=True, eps="eps"),
    activation="mlp.act",
    activation_name="activation_function",
    gate=None,
    refuse=_refuse,
)

families.register("gpt2")(GPT2)
