"""Overlap of the units that matter most."""

import numpy as np

from relp_sae.faithfulness.measures import Counts, Scores, Undefined, Value, measures
from relp_sae.faithfulness.ranking import placed

K = 10


@measures.register(f"top-{K}-overlap")
def top_overlap(estimate: Scores, truth: Scores) -> Value:
    """Share of the estimate's top 10 units by |score| in the truth's top 10; in [0, 1].

    Units tied at the edge of a top 10 share its last places equally, so that the order of units
    never matters: the overlap is the fuzzy one, sum of min(memberships) / 10. An all-zero
    estimate thus gets 10 / n, the chance level.
    Undefined: 10 units or fewer, for then every unit is in the top 10.
    """
    in_estimate = placed(-np.abs(estimate), membership)
    in_truth = placed(-np.abs(truth), membership)

    def share(counts: Counts) -> float:
        if counts.sum() <= K:
            raise Undefined(f"{K} units or fewer")
        return float((counts * np.minimum(in_estimate(counts), in_truth(counts))).sum() / K)

    return share


def membership(ahead: np.ndarray, equal: np.ndarray) -> np.ndarray:
    """How far a unit is in the top 10: 1 inside, 0 outside, an equal share when tied at its edge.

    ``equal`` is 0 for units that are not at hand; their place counts nowhere.
    """
    return np.clip((K - ahead) / np.maximum(equal, 1), 0, 1)
