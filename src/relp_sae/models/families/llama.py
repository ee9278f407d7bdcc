"""Llama and its kin (SmolLM2): RMSNorm, rotary grouped-query attention, gated MLP."""

from relp_sae.models.family import Family, Gate, Norm, families

LLAMA = Family(
    blocks="model.layers",
    final_norm="model.norm",
    unembed="lm_head",
    attention="self_attn",
    projection="self_attn.o_proj",
    mlp="mlp",
    mlp_norm="post_attention_layernorm",
    norms=("input_layernorm", "post_attention_layernorm"),
    norm=Norm(centred=False, eps="variance_epsilon"),
    activation="mlp.act_fn",
    activation_name="hidden_act",
    gate=Gate(left="mlp.act_fn", right="mlp.up_proj", into="mlp.down_proj"),
)

families.register("llama")(LLAMA)
