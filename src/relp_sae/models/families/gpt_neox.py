"""GPT-NeoX (Pythia): LayerNorm, rotary attention beside the MLP, plain MLP."""

from relp_sae.models.family import Family, Norm, families

families.register("gpt_neox")(
    Family(
        blocks="gpt_neox.layers",
        final_norm="gpt_neox.final_layer_norm",
        unembed="lm_head",
        attention="attention",
        projection="attention.dense",
        mlp="mlp",
        mlp_norm="post_attention_layernorm",
        norms=("input_layernorm", "post_attention_layernorm"),
        norm=Norm(centred=True, eps="eps"),
        activation="mlp.act",
        activation_name="hidden_act",
        gate=None,
        parallel=lambda config: config.use_parallel_residual,
    )
)
