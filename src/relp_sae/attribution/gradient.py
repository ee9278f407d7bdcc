"""Attribution patching: the true gradient at one run."""

from relp_sae.attribution.method import methods
from relp_sae.attribution.slopes import composite_method, mean_method

# Nanda 2023, "Attribution patching"; for SAE features Marks et al. 2024, arXiv 2403.19647, eq. 3
methods.register("gradient")(composite_method("gradient"))

methods.register("gradient-mean")(mean_method("gradient"))
