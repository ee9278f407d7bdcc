"""How well one estimate agrees with one truth, by every registered measure.

Two summaries of the same units. The *mean* of the per-pair values weighs every prompt pair the
same and is the headline. The *pooled* value takes the units of all pairs at once: pairs with large
effects weigh more, and differences between pairs enter. Both carry the interval of one bootstrap
over pairs, in which the pooled measure is recomputed on the units of every resample.
"""

import numpy as np

from relp_sae.faithfulness.alignment import Aligned, align
from relp_sae.faithfulness.measures import Counts, Measure, Undefined, Value, measures
from relp_sae.faithfulness.resampling import (
    Draws,
    PairValues,
    draw_pairs,
    left_out,
    mean_interval,
    with_interval,
)
from relp_sae.records import Agreement, FeatureScores, Interval


def compare(
    estimate: FeatureScores, truth: FeatureScores, *, bootstrap: int = 2000, seed: int = 0
) -> list[Agreement]:
    """Every measure of ``estimate`` against ``truth``, over SAE features only (no error units).

    ``per_pair`` is in the order of pair number. ``bootstrap`` is the number of resamples; 2000 or
    more make the ends of the interval steady. Every NaN comes with its reason in a note.

    Raises:
        InputError: the two records do not score the same features, or a score is not finite.
    """
    aligned = align(estimate, truth)
    draws = draw_pairs(len(aligned.features), bootstrap, seed)

    def agreement(name: str, measure: Measure) -> Agreement:
        values, note = pair_values(measure, aligned)
        return Agreement(
            estimate=estimate.name,
            base=estimate.base,
            truth=truth.name,
            measure=name,
            mean=mean_interval(values, draws, note),
            pooled=pooled_interval(measure, aligned, draws),
            per_pair=tuple(values.tolist()),
        )

    return [agreement(name, measure) for name, measure in measures.items()]


def pair_values(measure: Measure, aligned: Aligned) -> tuple[PairValues, str]:
    """The measure of every pair, NaN where it is undefined, and a note that says why."""
    answers = [
        value_or_reason(measure(estimate, truth), np.ones(len(truth)))
        for estimate, truth in aligned.by_pair()
    ]
    values, reasons = zip(*answers, strict=True)
    return np.array(values), left_out(reasons, of="pairs")


def pooled_interval(measure: Measure, aligned: Aligned, draws: Draws) -> Interval:
    """The measure on the units of all pairs, with its cluster-bootstrap interval."""
    measured = measure(aligned.estimate, aligned.truth)
    value, reason = value_or_reason(measured, np.ones(len(aligned.truth)))
    if reason:
        return Interval(value, np.nan, np.nan, reason)
    answers = [
        value_or_reason(measured, np.repeat(drawn, aligned.features))
        for drawn in draws.astype(np.float64)
    ]
    resampled, reasons = zip(*answers, strict=True)
    populated = int(np.count_nonzero(aligned.features))
    return with_interval(value, np.array(resampled), populated, left_out(reasons, of="resamples"))


def value_or_reason(measured: Value, counts: Counts) -> tuple[float, str]:
    """The value and no reason, or NaN and the reason."""
    try:
        return measured(counts), ""
    except Undefined as undefined:
        return np.nan, str(undefined)
