"""RelP-SAE: relevance patching, the slopes of the LRP rules in place of the gradient."""

from relp_sae.attribution.composite_method import composite_method, mean_method
from relp_sae.attribution.method import methods

# Jafari et al. 2025, arXiv 2508.21258, equation of RelP with the rules of its table 1
methods.register("relp")(composite_method("relp"))

methods.register("relp-mean")(mean_method("relp"))

# The same with the attention pattern held constant (AH-rule of Ali et al. 2022)
methods.register("relp-ah")(composite_method("relp-ah"))
