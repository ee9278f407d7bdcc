"""Pearson's correlation without the units that matter most."""

from collections.abc import Callable

from relp_sae.faithfulness.measures import Counts, Sample, Undefined, Value, measure
from relp_sae.faithfulness.measures.pearson import correlation
from relp_sae.faithfulness.measures.top_k import membership

LEFT_OUT = (1, 2, 5, 10)


def _without_top(k: int) -> Callable[[Sample], Value]:
    """Pearson's r over the units but the ``k`` with the largest |truth|; no unit, in [-1, 1].

    The top is that of the units at hand: of the pair, or of all pairs when pooled. Effects are
    heavy-tailed: one unit can carry nearly all of the sum of squares, and r is then the answer to
    whether that one was found. Units tied for the last place of the top leave in equal shares.
    Undefined: fewer than 3 units would be left, or a side is constant without the top.
    """

    def pearson_without_top(sample: Sample) -> Value:
        in_top = membership(sample.truth, k)

        def r(counts: Counts) -> float:
            if counts.sum() < k + 3:
                raise Undefined(f"fewer than 3 units beside the top {k}")
            return correlation(sample.estimate, sample.truth, counts * (1 - in_top(counts)))

        return r

    return pearson_without_top


for _k in LEFT_OUT:
    measure(f"pearson-without-top-{_k}", f"Pearson without the top {_k}", costly=True)(
        _without_top(_k)
    )
