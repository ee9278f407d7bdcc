"""What the statistics return: how well an estimate agrees with a truth, and which is better."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """A value with its confidence interval. NaN comes with the reason in ``note``."""

    value: float
    low: float
    high: float
    note: str = ""


@dataclass(frozen=True)
class Agreement:
    """One measure of one estimate against one truth, over the SAE features of the kept pairs.

    ``per_pair`` holds the measure of each pair (NaN where it is undefined); ``mean`` is their mean
    with its prompt-cluster bootstrap interval; ``pooled`` is the measure on all units at once,
    with the interval of the same bootstrap.
    """

    estimate: str
    base: str
    truth: str
    measure: str
    mean: Interval
    pooled: Interval
    per_pair: tuple[float, ...]


@dataclass(frozen=True)
class Contrast:
    """Is one estimate more faithful than another? Paired over pairs.

    ``difference`` is the mean over pairs of measure(first) - measure(second) with its bootstrap
    interval; ``p`` is the sign-flip permutation p-value of the Fisher-z differences and
    ``p_holm`` the same after Holm's step-down over the contrasts of the run.
    """

    first: str
    second: str
    base: str
    truth: str
    measure: str
    difference: Interval
    p: float
    p_holm: float
    primary: bool
