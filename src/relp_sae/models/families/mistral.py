"""Mistral: Llama's parts; a sliding window comes with its masks."""

from relp_sae.models.families.llama import LLAMA
from relp_sae.models.family import families

families.register("mistral")(LLAMA)
