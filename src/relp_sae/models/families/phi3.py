"""Phi-3: Llama's parts; one projection makes gate and up, another query, key and value."""

from dataclasses import replace

from relp_sae.models.families.llama import LLAMA
from relp_sae.models.family import Gate, families

families.register("phi3")(
    replace(
        LLAMA,
        activation="mlp.activation_fn",
        gate=Gate(
            left="mlp.activation_fn",
            right="mlp.gate_up_proj",
            right_part=(1, 2),
            into="mlp.down_proj",
        ),
    )
)
