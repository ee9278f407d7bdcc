"""Is one method more faithful than another? Paired over prompt pairs.

For each declared comparison: the difference of the mean per-pair agreement, with the interval of a
bootstrap that resamples both methods together, and a sign-flip permutation test of the per-pair
differences of Fisher's z, corrected for the number of comparisons.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from relp_sae.faithfulness.agreement import pair_values
from relp_sae.faithfulness.alignment import align
from relp_sae.faithfulness.declared import (
    Comparison,
    declared_contrasts,
    find_estimate,
    find_truth,
)
from relp_sae.faithfulness.measures import Measure, measures
from relp_sae.faithfulness.resampling import PairValues, draw_pairs, joined, mean_interval
from relp_sae.faithfulness.sign_flip import holm, sign_flip_p
from relp_sae.records import Contrast, FeatureScores, Interval, PrimaryContrast

LARGEST_R = 1 - 1e-6
"""Agreement is clipped to +-this before Fisher's z, so that |z| <= 7.25: single precision hardly
tells a larger r from 1, and the infinite z of r = 1 would drown every other pair."""


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
        InputError: two records do not score the same features, a score is not finite, or the
            measure is unknown.
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
    first, second, note = _paired_values(comparison, scores, measures[measure])
    p = _p_value(first, second, seed)
    return Contrast(
        first=comparison.first,
        second=comparison.second,
        base=comparison.base,
        truth=comparison.truth,
        measure=measure,
        difference=_difference(first - second, bootstrap, seed, note),
        p=p,
        p_holm=p,
        primary=False,
    )


def _paired_values(
    comparison: Comparison, scores: Sequence[FeatureScores], measure: Measure
) -> tuple[PairValues, PairValues, str]:
    """Per-pair agreement of both methods, and what is missing; no pairs if a record is."""
    first = find_estimate(scores, comparison.first, comparison.base)
    second = find_estimate(scores, comparison.second, comparison.base)
    truth = find_truth(scores, comparison.truth)
    if first is None or second is None or truth is None:
        named = {
            f"{comparison.first}@{comparison.base}": first,
            f"{comparison.second}@{comparison.base}": second,
            comparison.truth: truth,
        }
        lacking = [name for name, record in named.items() if record is None]
        return np.empty(0), np.empty(0), f"not among the scores: {', '.join(lacking)}"
    values, note = pair_values(measure, align(first, truth))
    others, other_note = pair_values(measure, align(second, truth))
    notes = [
        f"{name}: {why}" for name, why in ((first.label, note), (second.label, other_note)) if why
    ]
    return values, others, joined(*notes)


def _difference(differences: PairValues, bootstrap: int, seed: int, note: str) -> Interval:
    if len(differences) == 0:
        return Interval(np.nan, np.nan, np.nan, note)
    return mean_interval(differences, draw_pairs(len(differences), bootstrap, seed), note)


def _p_value(first: PairValues, second: PairValues, seed: int) -> float:
    """The sign-flip p-value of the Fisher-z differences; NaN with fewer than 2 usable pairs."""
    differences = fisher_z(first) - fisher_z(second)
    differences = differences[np.isfinite(differences)]
    return sign_flip_p(differences, seed) if len(differences) >= 2 else np.nan


def fisher_z(r: PairValues) -> PairValues:
    """atanh(r), r clipped to +-(1 - 1e-6); NaN stays NaN. Source: Fisher 1921."""
    return np.arctanh(np.clip(r, -LARGEST_R, LARGEST_R))
