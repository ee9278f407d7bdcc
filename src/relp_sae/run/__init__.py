"""A model, its dictionaries, the pairs and the metric as one frozen record."""

from relp_sae.run.paired_run import PairedRun
from relp_sae.run.steps import PairSteps

__all__ = ["PairSteps", "PairedRun"]
