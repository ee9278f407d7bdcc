"""Overlap of the units that matter most."""

from collections.abc import Callable

import numpy as np

from relp_sae.faithfulness.measures import Counts, Scores, Undefined, Value, measures

K = 10

HEAD = 50 * K
"""Place 10 is looked for among this many units first: there it nearly always is."""


@measures.register(f"top-{K}-overlap")
def top_overlap(estimate: Scores, truth: Scores) -> Value:
    """Share of the estimate's top 10 units by |score| in the truth's top 10; in [0, 1].

    Units tied for the last places share them equally, so that the order of units never matters:
    the overlap is the fuzzy one, sum of min(memberships) / 10. An all-zero estimate thus gets
    10 / n, the chance level.
    Undefined: 10 units or fewer, for then every unit is in the top 10.
    """
    in_estimate, in_truth = membership(estimate), membership(truth)

    def share(counts: Counts) -> float:
        if counts.sum() <= K:
            raise Undefined(f"{K} units or fewer")
        return float((counts * np.minimum(in_estimate(counts), in_truth(counts))).sum() / K)

    return share


def membership(scores: Scores) -> Callable[[Counts], Scores]:
    """How far a unit is in the top 10 by |score|: 1 inside, 0 outside, a share when tied."""
    order = np.argsort(-np.abs(scores))
    descending = -np.abs(scores)[order]

    def shares(counts: Counts) -> Scores:
        edge = descending[_tenth(counts, order)]
        first, end = (np.searchsorted(descending, edge, side) for side in ("left", "right"))
        inside, tied = order[:first], order[first:end]
        members = np.zeros(len(counts))
        members[inside] = 1
        members[tied] = (K - counts[inside].sum()) / counts[tied].sum()
        return members

    return shares


def _tenth(counts: Counts, order: np.ndarray) -> np.intp:
    """Where in ``order`` place 10 stands, every unit taking ``counts`` places."""
    taken = np.cumsum(counts[order[:HEAD]])
    if taken[-1] < K:
        taken = np.cumsum(counts[order])
    return np.searchsorted(taken, K)
