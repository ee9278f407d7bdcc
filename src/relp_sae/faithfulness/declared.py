"""Which methods are compared with which: declared by a rule, before any figure is seen."""

from collections.abc import Sequence
from dataclasses import dataclass

from relp_sae.records import FeatureScores, PrimaryContrast

REFERENCE = "gradient"

BASELINES = ("random", "delta-norm", "direct")
"""Yardsticks, not candidates: testing them would only make the other p-values larger."""


@dataclass(frozen=True)
class Comparison:
    """``first`` minus ``second`` as estimates of ``truth``, taken at ``base``."""

    first: str
    second: str
    base: str
    truth: str


def declared_contrasts(
    scores: Sequence[FeatureScores], primary: PrimaryContrast
) -> list[Comparison]:
    """The primary contrast first, then each method minus ``gradient`` for each truth.

    Methods are all estimates but ``gradient`` and the baselines (a suffix as in ``random:3`` does
    not matter). A truth is compared with the estimates at its own base (denoising patches the
    corrupted run, noising the clean one) and with those that use both runs; where no gradient
    stands at that base, nothing is declared.
    """
    main = Comparison(primary.first, primary.second, primary.base, primary.truth)
    others = [
        Comparison(estimate.name, REFERENCE, truth.base, truth.name)
        for truth in scores
        if truth.kind == "truth" and find_estimate(scores, REFERENCE, truth.base)
        for estimate in scores
        if is_method(estimate) and estimate.base in (truth.base, "both")
    ]
    return list(dict.fromkeys([main, *others]))


def is_method(scores: FeatureScores) -> bool:
    """True for an estimate that is a candidate against the plain gradient."""
    stem = scores.name.partition(":")[0]
    return scores.kind == "estimate" and stem not in (REFERENCE, *BASELINES)


def find_estimate(scores: Sequence[FeatureScores], name: str, base: str) -> FeatureScores | None:
    """The estimate ``name`` taken at ``base``, or else the one that uses both runs."""
    found: dict[str, FeatureScores] = {
        one.base: one for one in scores if one.kind == "estimate" and one.name == name
    }
    return found.get(base) or found.get("both")


def find_truth(scores: Sequence[FeatureScores], name: str) -> FeatureScores | None:
    """The truth ``name``."""
    return next((one for one in scores if one.kind == "truth" and one.name == name), None)
