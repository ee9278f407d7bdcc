"""How often do the tests find a difference between two methods that are equally good?

    OMP_NUM_THREADS=1 python benchmarks/null_false_positives.py

Simulates studies in which two estimates are exchangeable: whatever is drawn for one could as well
have been drawn for the other. A test at the 5 % level should then reject in 5 % of the studies.
The units are made as those of real runs: heavy-tailed effects; features that recur over pairs; and
in each pair the estimates are better or worse as a whole, because its units share one backward
vector. Everything is judged by the package's own ``contrast``.

Two kinds of null. *New prompts*: what an estimate gets wrong is drawn anew in each pair.
*New prompts and new features*: each estimate also errs on each feature in its own way, the same in
all pairs. Over all possible features the two are still equally good, but on the features of one
study one of them really is better: only the crossed bootstrap claims to allow for that.
"""

import argparse
from collections.abc import Iterator

import numpy as np

from relp_sae.faithfulness.contrast import contrast
from relp_sae.faithfulness.declared import Comparison
from relp_sae.records import Contrast, FeatureScores, Interval, Units

LEVEL = 0.05
BOOTSTRAP = 1000
UNITS, FEATURES = 100, 400  # per pair; in the study

PAIR_SPREAD = 0.5
"""Standard deviation, over pairs and methods, of the log of the size of an estimate's errors."""

SCENARIOS = {"new prompts": 0.0, "new prompts and new features": 0.5}
"""Name -> size of an estimate's own error on a feature, as a share of the feature's effect."""

NAMES = ("relp", "gradient")


def study(pairs: int, own_error: float, generator: np.random.Generator) -> list[FeatureScores]:
    """Two exchangeable estimates and their truth."""
    common = 1 / (1 + np.arange(FEATURES))  # a few features are in nearly every pair
    chosen = [
        generator.choice(FEATURES, UNITS, replace=False, p=common / common.sum())
        for _ in range(pairs)
    ]
    feature, n = np.concatenate(chosen), pairs * UNITS
    pair = np.repeat(np.arange(pairs), UNITS)
    effect = generator.standard_t(2, FEATURES)[feature]
    truth = effect * np.exp(0.5 * generator.normal(size=n)) + 0.1 * generator.standard_t(2, n)
    ones = np.ones(n)
    units = Units(pair, np.full(n, "resid_pre.1"), np.full(n, 5), feature, ones, ones)

    def estimate() -> np.ndarray:
        size = np.exp(PAIR_SPREAD * generator.normal(size=pairs))[pair]
        own = own_error * generator.normal(size=FEATURES)[feature] * effect
        return truth + own + size * 0.5 * generator.standard_t(3, n)

    return [
        FeatureScores("truth", "denoise", "corrupted", units, truth, np.zeros(n)),
        *(FeatureScores("estimate", m, "corrupted", units, estimate(), np.zeros(n)) for m in NAMES),
    ]


def rejections(found: Contrast) -> dict[str, bool]:
    """Which tests find a difference at the 5 % level."""
    textbook = {
        f"{one.test}, over units": excludes_zero(Interval(one.value, one.low, one.high))
        if np.isnan(one.p)
        else one.p <= LEVEL
        for one in found.descriptive
    }
    return {
        "**sign-flip over pairs (the headline test)**": found.p <= LEVEL,
        "Wilcoxon over pairs": found.p_wilcoxon <= LEVEL,
        "bootstrap over pairs, interval without 0": excludes_zero(found.difference),
        "crossed bootstrap, interval without 0": excludes_zero(found.generalising),
        **textbook,
    }


def excludes_zero(interval: Interval) -> bool:
    """False where the interval is NaN."""
    return interval.low > 0 or interval.high < 0


def rates(pairs: int, own_error: float, studies: int, seed: int) -> dict[str, float]:
    """The share of studies in which each test rejects."""
    comparison = Comparison(*NAMES, base="corrupted", truth="denoise")
    rejected: dict[str, int] = {}
    for number in range(studies):
        generator = np.random.default_rng((seed, pairs, number))
        scores = study(pairs, own_error, generator)
        found = contrast(comparison, scores, "pearson", bootstrap=BOOTSTRAP, seed=number)
        for test, is_rejected in rejections(found).items():
            rejected[test] = rejected.get(test, 0) + is_rejected
    return {test: count / studies for test, count in rejected.items()}


def table(columns: dict[str, dict[str, float]], studies: int) -> Iterator[str]:
    """The rates as Markdown, each with its binomial standard error."""
    yield f"| test at the {LEVEL:.0%} level | {' | '.join(columns)} |".replace("5%", "5 %")
    yield "| :--- |" + " ---: |" * len(columns)
    for test in next(iter(columns.values())):
        cells = (column[test] for column in columns.values())
        shown = [f"{p:.1%} ± {np.sqrt(p * (1 - p) / studies):.1%}" for p in cells]
        yield f"| {test} | {' | '.join(shown)} |".replace("%", " %").replace("5  %", "5 %")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--pairs", type=int, nargs="+", default=[32, 12])
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    columns = {
        f"{name}, {pairs} pairs": rates(pairs, own_error, asked.studies, asked.seed)
        for name, own_error in SCENARIOS.items()
        for pairs in asked.pairs
    }
    print("\n".join(table(columns, asked.studies)))


if __name__ == "__main__":
    main()
