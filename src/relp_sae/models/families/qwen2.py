"""Qwen 2 and 2.5: Llama's parts, with biases at queries, keys and values."""

from relp_sae.models.families.llama import LLAMA
from relp_sae.models.family import families

families.register("qwen2")(LLAMA)
