"""Is one method more faithful than another? Paired over prompt pairs.

For each declared comparison: the difference of the mean per-pair agreement, with the interval of a
bootstrap that resamples both methods together and of one that resamples features as well, and two
paired tests of the per-pair differences of Fisher's z, the first of them corrected for the number
of comparisons.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from relp_sae.errors import InputError
from relp_sae.faithfulness.agreement import pair_values
from relp_sae.faithfulness.alignment import Aligned, align
from relp_sae.faithfulness.crossed import crossed_interval
from relp_sae.faithfulness.declared import (
    Comparison,
    declared_contrasts,
    find_estimate,
    find_truth,
)
from relp_sae.faithfulness.dependent import dependent_tests
from relp_sae.faithfulness.measures import Measure, Undefined, measures, value_or_reason
from relp_sae.faithfulness.measures.pearson import r_of
from relp_sae.faithfulness.moments import OfMoments
from relp_sae.faithfulness.parts import parts
from relp_sae.faithfulness.resampling import PairValues, draw_pairs, joined, mean_interval
from relp_sae.faithfulness.sign_flip import holm, sign_flip_p
from relp_sae.faithfulness.wilcoxon import wilcoxon_p
from relp_sae.records import (
    EVERYWHERE,
    Contrast,
    DependentTest,
    FeatureScores,
    Interval,
    PrimaryContrast,
)

LARGEST_R = 1 - 1e-6
"""Agreement is clipped to +-this before Fisher's z, so that |z| <= 7.25: single precision hardly
tells a larger r from 1, and the infinite z of r = 1 would drown every other pair."""


@dataclass(frozen=True, eq=False)
class Side:
    """One of the two estimates, aligned with the truth, and its agreement with it."""

    aligned: Aligned
    values: PairValues
    note: str


def contrasts(
    scores: Sequence[FeatureScores],
    primary: PrimaryContrast,
    *,
    bootstrap: int = 2000,
    seed: int = 0,
) -> list[Contrast]:
    """All declared contrasts, the primary one first, by the measure that ``primary`` names.

    A contrast whose records are not among ``scores``, or with fewer than 2 pairs in which both
    methods have a value, is NaN with the reason in ``difference.note``.

    Raises:
        InputError: two records do not score the same units, a score is not finite, or the measure
            is unknown or one of which more is not better.
    """
    made = [
        contrast(comparison, scores, primary.measure, bootstrap=bootstrap, seed=seed)
        for comparison in declared_contrasts(scores, primary)
    ]
    adjusted = holm([one.p for one in made])
    return [
        replace(one, p_holm=p_holm, primary=one is made[0])
        for one, p_holm in zip(made, adjusted, strict=True)
    ]


def contrast(
    comparison: Comparison,
    scores: Sequence[FeatureScores],
    measure: str,
    *,
    bootstrap: int,
    seed: int,
) -> Contrast:
    """One comparison by itself: ``p_holm`` equals ``p``, and it is not marked as primary."""
    judge = _judge(measure)
    try:
        first, second = _sides(comparison, scores, judge)
    except Undefined as undefined:
        nothing = Interval(np.nan, np.nan, np.nan, str(undefined))
        return Contrast(
            **asdict(comparison),
            measure=measure,
            difference=nothing,
            p=np.nan,
            p_holm=np.nan,
            primary=False,
            generalising=nothing,
        )
    differences = first.values - second.values
    draws = draw_pairs(len(differences), bootstrap, seed)
    p, p_wilcoxon = p_values(first.values, second.values, judge, seed)
    return Contrast(
        **asdict(comparison),
        measure=measure,
        difference=mean_interval(differences, draws, joined(first.note, second.note)),
        p=p,
        p_holm=p,
        primary=False,
        pairs=int(np.isfinite(differences).sum()),
        generalising=crossed_interval(
            judge, first.aligned, second.aligned, differences, draws, seed
        ),
        p_wilcoxon=p_wilcoxon,
        descriptive=_descriptive(first.aligned, second.aligned),
    )


def _judge(measure: str) -> Measure:
    """The measure of that name, if more of it is better."""
    judge = measures[measure]
    if judge.better != "higher":
        usable = ", ".join(name for name, one in measures.items() if one.better == "higher")
        raise InputError(
            f"A contrast asks which estimate agrees better, and of '{measure}' more is not "
            f"better. Use one of: {usable}."
        )
    return judge


def _sides(
    comparison: Comparison, scores: Sequence[FeatureScores], judge: Measure
) -> tuple[Side, Side]:
    """Both estimates of a comparison.

    Raises:
        Undefined: one of the records, or the part, is not there.
    """
    truth = find_truth(scores, comparison.truth)
    names = (comparison.first, comparison.second)
    estimates = [find_estimate(scores, name, comparison.base) for name in names]
    wanted = [*(f"{name}@{comparison.base}" for name in names), comparison.truth]
    lacking = [name for name, one in zip(wanted, [*estimates, truth], strict=True) if one is None]
    if truth is None or lacking:
        raise Undefined(f"not among the scores: {', '.join(lacking)}")
    first, second = (_side(one, truth, comparison.part, judge) for one in estimates if one)
    return first, second


def _side(estimate: FeatureScores, truth: FeatureScores, part: str, judge: Measure) -> Side:
    aligned = align(estimate, truth)
    if part != EVERYWHERE:
        known = parts(aligned.units)
        if part not in known:
            raise Undefined(f"no part '{part}' in this run (it has {', '.join(known)})")
        aligned = aligned.chosen(known[part])
    values, note = pair_values(judge, aligned)
    return Side(aligned, values, f"{estimate.label}: {note}" if note else "")


def p_values(
    first: PairValues, second: PairValues, judge: Measure, seed: int
) -> tuple[float, float]:
    """Sign-flip and Wilcoxon p-values of the per-pair differences; NaN with fewer than 2 pairs.

    The differences are those of Fisher's z, or of the values themselves where the measure is not
    bounded by -1 and 1.
    """
    differences = fisher_z(first) - fisher_z(second) if judge.bounded else first - second
    differences = differences[np.isfinite(differences)]
    if len(differences) < 2:
        return np.nan, np.nan
    return sign_flip_p(differences, seed), wilcoxon_p(differences)


def fisher_z(r: PairValues) -> PairValues:
    """atanh(r), r clipped to +-(1 - 1e-6); NaN stays NaN. Source: Fisher 1921."""
    return np.arctanh(np.clip(r, -LARGEST_R, LARGEST_R))


def _descriptive(first: Aligned, second: Aligned) -> tuple[DependentTest, ...]:
    """The textbook tests of Pearson's r over the units of all pairs, as if these were draws."""
    truth, ones = first.truth, np.ones(len(first.truth))
    twosomes = [
        (first.estimate, truth),
        (second.estimate, truth),
        (first.estimate, second.estimate),
    ]
    found = [value_or_reason(OfMoments(x, y, r_of), ones)[0] for x, y in twosomes]
    return dependent_tests(*found, n=len(truth))
