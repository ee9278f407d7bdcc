"""The crossed bootstrap: pairs and features are both drawn, for "new prompts and new features".

Features recur over pairs, so the units of two pairs are not independent either. In each resample
the pairs and the features are drawn with replacement, independently of one another; a unit then
counts as often as its pair times as often as its feature (the pigeonhole bootstrap, Owen 2007,
Annals of Applied Statistics 1, 386). It errs on the safe side: the noise of single units enters it
up to three times, which makes its intervals wide rather than narrow.
"""

import numpy as np
from jaxtyping import Float, Shaped

from relp_sae.faithfulness.alignment import Aligned
from relp_sae.faithfulness.measures import Measure, Value
from relp_sae.faithfulness.moments import Draws, Group
from relp_sae.faithfulness.resampling import (
    PairValues,
    left_out,
    quotient,
    resample,
    with_interval,
)
from relp_sae.records import WHOLE_NODE, Interval, Units

SEED_OF_FEATURES = 1
"""Keeps the draws of features apart from those of pairs under the same seed."""


def crossed_interval(
    measure: Measure,
    first: Aligned,
    second: Aligned,
    differences: PairValues,
    draws: Draws,
    seed: int,
) -> Interval:
    """The mean of ``differences`` = measure(first) - measure(second) with its crossed interval.

    Both sides are aligned with the same truth; ``draws`` are the resamples of pairs. Each resample
    recomputes the measure of every pair from the drawn features and averages over the drawn pairs.
    A pair without a difference stays out of all resamples.
    """
    usable = np.isfinite(differences)
    if not usable.any():
        return Interval(np.nan, np.nan, np.nan, "no pair in which both have a value")
    features = feature_index(first.units)
    feature_draws = draw_features(int(features.max()) + 1, len(draws), seed)
    samples = zip(
        first.by_pair(),
        second.by_pair(),
        np.split(features, np.cumsum(first.features)[:-1]),
        strict=True,
    )
    columns = [
        _resampled_difference(measure(one), measure(other), feature_draws, group)
        for use, (one, other, group) in zip(usable, samples, strict=True)
        if use
    ]
    values, reasons = (np.stack(column, axis=1) for column in zip(*columns, strict=True))
    times = draws[:, usable] * np.isfinite(values).astype(np.float64)
    means = quotient((times * np.nan_to_num(values)).sum(axis=1), times.sum(axis=1))
    note = left_out(reasons.ravel().tolist(), of="resampled pairs")
    return with_interval(float(differences[usable].mean()), means, len(columns), note)


def feature_index(units: Units) -> Group:
    """The same number for the same (site, feature) in every pair; for whole nodes (site, pos)."""
    within = np.where(units.feature == WHOLE_NODE, units.pos, units.feature)
    _, site = np.unique(units.site, return_inverse=True)
    _, index = np.unique(site * (within.max() + 1) + within, return_inverse=True)
    return index


def draw_features(features: int, resamples: int, seed: int) -> Draws:
    """Resamples of ``features`` features: how often each is drawn."""
    generator = np.random.default_rng((seed, SEED_OF_FEATURES))
    # Small, as there can be very many features; a feature's column in one piece, as they are
    # looked up by feature.
    draws = np.empty((resamples, features), np.int16, order="F")
    for i in range(resamples):
        drawn = generator.integers(features, size=features)
        draws[i] = np.bincount(drawn, minlength=features)
    return draws


def _resampled_difference(
    one: Value, other: Value, draws: Draws, group: Group
) -> tuple[Float[np.ndarray, "resamples"], Shaped[np.ndarray, "resamples"]]:
    """one - other in every resample, and why it is NaN."""
    first, first_reasons = resample(one, draws, group)
    second, second_reasons = resample(other, draws, group)
    return first - second, np.where(first_reasons == "", second_reasons, first_reasons)
