"""Gemma: Llama's parts; norms multiply by one plus their weight."""

from dataclasses import replace

from relp_sae.models.families.llama import LLAMA
from relp_sae.models.family import Norm, families

GEMMA = replace(LLAMA, norm=Norm(centred=False, eps="eps", offset=1.0))

families.register("gemma")(GEMMA)
