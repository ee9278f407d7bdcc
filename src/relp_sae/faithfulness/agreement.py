"""How well one estimate agrees with one truth, by every registered measure.

Two summaries of the same units. The *mean* of the per-pair values weighs every prompt pair the
same and is the headline. The *pooled* value takes the units of all pairs at once: pairs with large
effects weigh more, and differences between pairs enter. Both carry the interval of one bootstrap
over pairs, in which the pooled measure is recomputed on the units of every resample. That takes
minutes for some measures: these have a pooled value and no interval of it. Those made of moments
always have one, for they cost next to nothing; the others only for all parts together, and up to
``MOST`` units counted again.
"""

import numpy as np

from relp_sae.faithfulness.alignment import Aligned, align
from relp_sae.faithfulness.measures import Measure, measures, value_or_reason
from relp_sae.faithfulness.moments import Draws, OfMoments
from relp_sae.faithfulness.parts import parts
from relp_sae.faithfulness.resampling import (
    PairValues,
    draw_pairs,
    left_out,
    mean_interval,
    resample,
    with_interval,
)
from relp_sae.records import EVERYWHERE, Agreement, FeatureScores, Interval

MOST = 2e7
"""Units times resamples up to which a measure that is not made of moments is resampled pooled."""

TOO_COSTLY = "no interval of the pooled value: too costly to resample (its mean over pairs has one)"


def compare(
    estimate: FeatureScores, truth: FeatureScores, *, bootstrap: int = 2000, seed: int = 0
) -> list[Agreement]:
    """Every measure of ``estimate`` against ``truth`` in every part, without error units.

    ``per_pair`` is in the order of pair number. ``bootstrap`` is the number of resamples; 2000 or
    more make the ends of the interval steady. Every NaN comes with its reason in a note.

    Raises:
        InputError: the two records do not score the same units, or a score is not finite.
    """
    aligned = align(estimate, truth)
    draws = draw_pairs(len(aligned.pairs), bootstrap, seed)

    def agreement(part: str, chosen: Aligned, name: str, measure: Measure) -> Agreement:
        values, note = pair_values(measure, chosen)
        return Agreement(
            estimate=estimate.name,
            base=estimate.base,
            truth=truth.name,
            measure=name,
            mean=mean_interval(values, draws, note),
            pooled=pooled_interval(measure, chosen, draws, in_part=part != EVERYWHERE),
            per_pair=tuple(values.tolist()),
            part=part,
        )

    return [
        agreement(part, chosen, name, measure)
        for part, chosen in by_part(aligned).items()
        for name, measure in measures.items()
    ]


def by_part(aligned: Aligned) -> dict[str, Aligned]:
    """Each part by itself, everywhere first."""
    return {part: aligned.chosen(rows) for part, rows in parts(aligned.units).items()}


def pair_values(measure: Measure, aligned: Aligned) -> tuple[PairValues, str]:
    """The measure of every pair, NaN where it is undefined, and a note that says why."""
    answers = [
        value_or_reason(measure(sample), np.ones(len(sample.truth))) for sample in aligned.by_pair()
    ]
    values, reasons = zip(*answers, strict=True)
    return np.array(values), left_out(reasons, of="pairs")


def pooled_interval(
    measure: Measure, aligned: Aligned, draws: Draws, in_part: bool = False
) -> Interval:
    """The measure on the units of all pairs, with its cluster-bootstrap interval."""
    measured = measure(aligned.sample)
    value, reason = value_or_reason(measured, np.ones(len(aligned.truth)))
    if reason:
        return Interval(value, np.nan, np.nan, reason)
    too_costly = in_part or len(aligned.truth) * len(draws) > MOST
    if measure.costly or (too_costly and not isinstance(measured, OfMoments)):
        return Interval(value, np.nan, np.nan, TOO_COSTLY)
    resampled, reasons = resample(measured, draws, aligned.pair_index)
    populated = int(np.count_nonzero(aligned.features))
    return with_interval(value, resampled, populated, left_out(reasons, of="resamples"))
