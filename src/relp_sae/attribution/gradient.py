"""Attribution patching: the true gradient at one run."""

from relp_sae.attribution.composite_method import composite_method, mean_method
from relp_sae.attribution.method import methods

# Nanda 2023, "Attribution patching"; for SAE features Marks et al. 2024, arXiv 2403.19647, eq. 3
methods.register("gradient")(composite_method("gradient"))

methods.register("gradient-mean")(mean_method("gradient"))
