"""How well does an estimate agree with a truth, and which estimate agrees better?

Pure statistics on FeatureScores. The prompt pair is the unit of inference everywhere: the units of
one pair share one backward vector, so they are not independent draws.
"""

from relp_sae.faithfulness.agreement import compare
from relp_sae.faithfulness.ceiling import ceilings
from relp_sae.faithfulness.certificate import Plan, certificate, plan, require_budget
from relp_sae.faithfulness.contrast import contrasts
from relp_sae.faithfulness.curves import curve_areas
from relp_sae.faithfulness.declared import Comparison, declared_contrasts
from relp_sae.faithfulness.measures import Measure, Sample, Undefined, measures
from relp_sae.faithfulness.parts import parts
from relp_sae.faithfulness.regimes import regime_points
from relp_sae.faithfulness.seed_table import SeedRow, TopFeature, seed_table
from relp_sae.faithfulness.shares import share_interval

__all__ = [
    "Comparison",
    "Measure",
    "Plan",
    "Sample",
    "SeedRow",
    "TopFeature",
    "Undefined",
    "ceilings",
    "certificate",
    "compare",
    "contrasts",
    "curve_areas",
    "declared_contrasts",
    "measures",
    "parts",
    "plan",
    "regime_points",
    "require_budget",
    "seed_table",
    "share_interval",
]
