"""What the statistics return: how well an estimate agrees with a truth, and which is better."""

from dataclasses import dataclass

EVERYWHERE = "all sites"
"""The part of a run that is all of it. Other parts are a site, or a kind of site."""


@dataclass(frozen=True)
class Interval:
    """A value with its confidence interval. NaN comes with the reason in ``note``."""

    value: float
    low: float
    high: float
    note: str = ""


@dataclass(frozen=True)
class Agreement:
    """One measure of one estimate against one truth, over the compared units of the kept pairs.

    Compared are SAE features or whole nodes, never error units; ``part`` says where: all sites,
    one site, or one kind of site. ``per_pair`` holds the measure of each pair (NaN where it is
    undefined); ``mean`` is their mean with its prompt-cluster bootstrap interval; ``pooled`` is
    the measure on all units at once, with the interval of the same bootstrap where that is not
    too costly.
    """

    estimate: str
    base: str
    truth: str
    measure: str
    mean: Interval
    pooled: Interval
    per_pair: tuple[float, ...]
    part: str = EVERYWHERE


@dataclass(frozen=True)
class DependentTest:
    """A textbook test of two correlations that share the truth. Descriptive only.

    It takes every unit for an independent draw, which they are not: see docs/methods.md. ``value``
    is t or z, or the difference of the two correlations where the test is an interval (``zou``),
    whose ends are ``low`` and ``high`` (NaN otherwise); ``note`` says why a number is NaN.
    """

    test: str
    value: float
    p: float
    low: float
    high: float
    note: str = ""


@dataclass(frozen=True)
class Contrast:
    """Is one estimate more faithful than another? Paired over the ``pairs`` prompt pairs.

    ``difference`` is the mean over pairs of measure(first) - measure(second) with its
    prompt-cluster bootstrap interval ("this dictionary, new prompts"); ``generalising`` the same
    with the crossed bootstrap over pairs and features ("new prompts and new features"). ``p`` is
    the sign-flip permutation p-value of the Fisher-z differences (plain ones where the measure is
    not bounded by 1), ``p_wilcoxon`` Wilcoxon's, and
    ``p_holm`` is ``p`` after Holm's step-down over the contrasts of the run.
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
    part: str = EVERYWHERE
    pairs: int = 0
    generalising: Interval = Interval(float("nan"), float("nan"), float("nan"), "not computed")
    p_wilcoxon: float = float("nan")
    descriptive: tuple[DependentTest, ...] = ()


@dataclass(frozen=True)
class Ceiling:
    """How well a perfect estimate could agree with a truth as it was measured.

    ``sampling`` is the mean over pairs of sqrt(1 - mean(stderr^2) / var(effect)): 1 for an exact
    truth. ``split_half`` is sqrt(reliability) of the truth's mean per feature over two halves of
    the pairs, Spearman-Brown corrected, with a jackknife interval over pairs: how far the truth
    itself repeats on other prompts.
    """

    truth: str
    part: str
    sampling: Interval
    split_half: Interval


@dataclass(frozen=True)
class CurveArea:
    """What a circuit curve says in three numbers, each with its cluster-bootstrap interval.

    ``ranking`` is the label of the estimate or truth that ordered the units, ``order`` whether by
    signed score or by size, ``direction`` sufficiency or necessity. ``area`` is the area under
    F(k) over log k, scaled to a width of 1; ``cpr`` is the area under F and ``cmd`` that of
    |1 - F| over the share of units, in MIB's definition (arXiv 2504.13151).
    """

    site: str
    ranking: str
    order: str
    direction: str
    area: Interval
    cpr: Interval
    cmd: Interval


@dataclass(frozen=True)
class RegimePoint:
    """How well an estimate does in one regime: one point of the regime map.

    ``regime`` is the axis (relative step, site, scale, set size), ``level`` the place on it as
    shown, and ``at`` the same as a number to draw it at. ``pearson`` and ``slope`` (of estimate on
    truth) are means over pairs with cluster-bootstrap intervals; ``units`` is how many units,
    or sets of units, they rest on.
    """

    regime: str
    level: str
    at: float
    estimate: str
    base: str
    truth: str
    pearson: Interval
    slope: Interval
    units: int


@dataclass(frozen=True)
class Findings:
    """Everything that the statistics say about a run: the content of ``agreement.json``."""

    agreements: tuple[Agreement, ...] = ()
    contrasts: tuple[Contrast, ...] = ()
    ceilings: tuple[Ceiling, ...] = ()
    curves: tuple[CurveArea, ...] = ()
    regimes: tuple[RegimePoint, ...] = ()
