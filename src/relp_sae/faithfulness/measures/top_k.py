"""Overlap of the units that matter most."""

from collections.abc import Callable

import numpy as np

from relp_sae.faithfulness.measures import Counts, Sample, Scores, Undefined, Value, measure

K = 10

HEAD = 500
"""The last place of the top is looked for among this many units first: there it nearly always
is."""


@measure(f"top-{K}-overlap", f"top-{K} overlap")
def top_overlap(sample: Sample) -> Value:
    """Share of the estimate's top 10 units by |score| in the truth's top 10; in [0, 1].

    As both sets have 10 units, it is the recall of the true top 10 and the precision as well.
    Units tied for the last places share them equally, so that the order of units never matters:
    the overlap is the fuzzy one, sum of min(memberships) / 10. An all-zero estimate thus gets
    10 / n, the chance level.
    Undefined: 10 units or fewer, for then every unit is in the top 10, or every truth is zero.
    """
    matters = sample.truth != 0
    in_estimate, in_truth = membership(sample.estimate, K), membership(sample.truth, K)

    def share(counts: Counts) -> float:
        if counts.sum() <= K:
            raise Undefined(f"{K} units or fewer")
        if (counts * matters).sum() == 0:
            raise Undefined("every truth is zero")
        return float((counts * np.minimum(in_estimate(counts), in_truth(counts))).sum() / K)

    return share


def membership(scores: Scores, k: int) -> Callable[[Counts], Scores]:
    """How far a unit is in the top k by |score|: 1 inside, 0 outside, a share when tied.

    Needs k units or more at hand.
    """
    order = np.argsort(-np.abs(scores))
    descending = -np.abs(scores)[order]

    def shares(counts: Counts) -> Scores:
        edge = descending[_last_place(counts, order, k)]
        first, end = (np.searchsorted(descending, edge, side) for side in ("left", "right"))
        inside, tied = order[:first], order[first:end]
        members = np.zeros(len(counts))
        members[inside] = 1
        members[tied] = (k - counts[inside].sum()) / counts[tied].sum()
        return members

    return shares


def _last_place(counts: Counts, order: np.ndarray, k: int) -> np.intp:
    """Where in ``order`` place k stands, every unit taking ``counts`` places."""
    taken = np.cumsum(counts[order[:HEAD]])
    if taken[-1] < k:
        taken = np.cumsum(counts[order])
    return np.searchsorted(taken, k)
