"""How well could a perfect estimate agree with a truth, given how the truth was measured?

Two different ceilings. *Sampling*: a truth that was estimated from random orders (``shapley``)
carries noise, and nothing is expected to correlate with it better than the square root of its
reliability. *Split half*: on other prompts a feature has other effects; what does not repeat from
one half of the pairs to the other is about these prompts and not about the feature.
"""

from collections.abc import Sequence

import numpy as np

from relp_sae.errors import InputError
from relp_sae.faithfulness.alignment import Aligned, align, compared_rows
from relp_sae.faithfulness.crossed import feature_index
from relp_sae.faithfulness.measures import Scores, Undefined
from relp_sae.faithfulness.moments import Draws
from relp_sae.faithfulness.parts import parts
from relp_sae.faithfulness.resampling import draw_pairs, left_out, mean_interval
from relp_sae.faithfulness.split_half import FeatureSums, split_half
from relp_sae.records import Ceiling, FeatureScores, Interval


def ceilings(
    scores: Sequence[FeatureScores], *, bootstrap: int = 2000, seed: int = 0
) -> list[Ceiling]:
    """Both ceilings of every truth among ``scores``, in every part, error units left out.

    Raises:
        InputError: a truth lists no unit or one twice, or an effect or standard error is not a
            finite number.
    """
    return [
        ceiling
        for truth in scores
        if truth.kind == "truth"
        for ceiling in _of_truth(truth, bootstrap, seed)
    ]


def _of_truth(truth: FeatureScores, bootstrap: int, seed: int) -> list[Ceiling]:
    aligned = align(truth, truth)
    stderr = truth.stderr[compared_rows(truth)].astype(np.float64)
    if not np.all(stderr >= 0) or not np.all(np.isfinite(stderr)):
        raise InputError(
            f"The truth '{truth.name}' has a standard error that is NaN, infinite or negative. "
            "Every one must be 0 (exact) or larger; measure the truth again."
        )
    draws = draw_pairs(len(aligned.pairs), bootstrap, seed)
    return [
        Ceiling(
            truth=truth.name,
            part=part,
            sampling=sampling(aligned.chosen(rows), stderr[rows], draws),
            split_half=split_half(feature_sums(aligned.chosen(rows)), seed),
        )
        for part, rows in parts(aligned.units).items()
    ]


def sampling(aligned: Aligned, stderr: Scores, draws: Draws) -> Interval:
    """Mean over pairs of sqrt(1 - mean(stderr^2) / var(effect)), with its bootstrap interval.

    1 where the truth is exact. A pair whose effects are constant, or vary less than their noise,
    has none.
    """
    ends = np.cumsum(aligned.features)[:-1]
    answers = []
    for effects, errors in zip(np.split(aligned.truth, ends), np.split(stderr, ends), strict=True):
        try:
            answers.append((_sampling_of(effects, errors), ""))
        except Undefined as undefined:
            answers.append((np.nan, str(undefined)))
    values, reasons = zip(*answers, strict=True)
    return mean_interval(np.array(values), draws, left_out(reasons, of="pairs"))


def _sampling_of(effects: Scores, errors: Scores) -> float:
    if len(effects) < 3:
        raise Undefined("fewer than 3 units")
    if np.ptp(effects) == 0 or effects.var() == 0:  # as good as 0 where squares underflow
        raise Undefined("constant truth")
    reliability = 1 - (errors**2).mean() / effects.var()
    if reliability < 0:
        raise Undefined("more noise than variation")
    return float(np.sqrt(reliability))


def feature_sums(aligned: Aligned) -> FeatureSums:
    """The truth's effects per pair and feature; a feature is the same one in every pair."""
    features = feature_index(aligned.units)
    shape = (len(aligned.pairs), int(features.max()) + 1)
    cell = aligned.pair_index * shape[1] + features
    total = np.bincount(cell, aligned.truth, minlength=shape[0] * shape[1])
    count = np.bincount(cell, minlength=shape[0] * shape[1]).astype(np.float64)
    return FeatureSums(total.reshape(shape), count.reshape(shape))
