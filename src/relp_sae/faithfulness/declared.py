"""Which methods are compared with which: declared by a rule, before any figure is seen."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from relp_sae.faithfulness.parts import parts
from relp_sae.records import EVERYWHERE, FeatureScores, PrimaryContrast

REFERENCE = "gradient"

BASELINES = ("random", "delta-norm", "direct")
"""Yardsticks, not candidates: testing them would only make the other p-values larger."""

BETWEEN = (("secant", "relp"), ("relp-mean", "gradient-mean"))
"""Methods also compared with one another. A stem stands for all its variants (``secant:4``)."""

IN_PARTS = (("relp", "gradient"), ("secant", "relp"))
"""The comparisons also made in each part of the run; more would only cost power."""


@dataclass(frozen=True)
class Comparison:
    """``first`` minus ``second`` as estimates of ``truth``, taken at ``base``, in ``part``."""

    first: str
    second: str
    base: str
    truth: str
    part: str = EVERYWHERE


def declared_contrasts(
    scores: Sequence[FeatureScores], primary: PrimaryContrast
) -> list[Comparison]:
    """The primary contrast first, then for each truth the methods against one another.

    Each method minus ``gradient``, and the twosomes of BETWEEN; in each part those of IN_PARTS.
    Methods are all estimates but ``gradient`` and the baselines. A truth is compared with the
    estimates at its own base (denoising patches the corrupted run, noising the clean one) and with
    those that use both runs. A truth that uses both runs itself is compared with the estimates of
    every base. Where one side of a twosome was not made, nothing is declared.
    """
    main = Comparison(primary.first, primary.second, primary.base, primary.truth, primary.part)
    others = [
        comparison
        for truth in scores
        if truth.kind == "truth"
        for comparison in _of_truth(scores, truth)
    ]
    return list(dict.fromkeys([main, *others]))


def _of_truth(scores: Sequence[FeatureScores], truth: FeatureScores) -> Iterator[Comparison]:
    """All secondary comparisons of one truth."""
    names = list(dict.fromkeys(one.name for one in scores if is_method(one)))
    twosomes = [(name, REFERENCE) for name in names] + _named(BETWEEN, names)
    bases = ("corrupted", "clean") if truth.base == "both" else (truth.base,)
    for part in parts(truth.units.chosen(~truth.units.is_error)):
        for base in bases:
            for first, second in twosomes if part == EVERYWHERE else _named(IN_PARTS, names):
                used = {one.base for one in _both(scores, first, second, base)}
                if used:
                    shown = "both" if used == {"both"} else base
                    yield Comparison(first, second, shown, truth.name, part)


def _named(stems: Sequence[tuple[str, str]], names: Sequence[str]) -> list[tuple[str, str]]:
    """The twosomes with every name whose stem is the first of one of ``stems``."""
    return [(name, second) for first, second in stems for name in names if stem(name) == first]


def _both(
    scores: Sequence[FeatureScores], first: str, second: str, base: str
) -> list[FeatureScores]:
    """Both estimates at ``base``, or none where one of them was not made."""
    found = [find_estimate(scores, name, base) for name in (first, second)]
    return [one for one in found if one is not None] if None not in found else []


def stem(name: str) -> str:
    """The name without its number: ``secant:4`` is a ``secant``."""
    return name.partition(":")[0]


def is_method(scores: FeatureScores) -> bool:
    """True for an estimate that is a candidate against the plain gradient."""
    return scores.kind == "estimate" and stem(scores.name) not in (REFERENCE, *BASELINES)


def find_estimate(scores: Sequence[FeatureScores], name: str, base: str) -> FeatureScores | None:
    """The estimate ``name`` taken at ``base``, or else the one that uses both runs."""
    found: dict[str, FeatureScores] = {
        one.base: one for one in scores if one.kind == "estimate" and one.name == name
    }
    return found.get(base) or found.get("both")


def find_truth(scores: Sequence[FeatureScores], name: str) -> FeatureScores | None:
    """The truth ``name``."""
    return next((one for one in scores if one.kind == "truth" and one.name == name), None)
