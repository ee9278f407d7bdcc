"""How sure a share is: of pairs that a model gets right, say."""

from scipy import stats

from relp_sae.records import Interval

CONFIDENCE = 0.95


def share_interval(hits: int, trials: int) -> Interval:
    """``hits / trials`` with its 95 % interval, which is never empty at 0 and 1.

    Source: Wilson 1927, the score interval.
    """
    found = stats.binomtest(hits, trials).proportion_ci(CONFIDENCE, method="wilson")
    return Interval(hits / trials, float(found.low), float(found.high))
