"""How often does a certificate's interval hold what patching every unit finds?

    OMP_NUM_THREADS=1 python benchmarks/certificate_coverage.py RUN_FOLDER

Takes the scores of a finished run, in which every unit was patched. For each estimate made for a
truth, and each budget, the units to patch are drawn anew for every seed, and the certificate made
from their effects alone is held against Pearson and recall over all units. A 95 % interval should
cover in 95 % of the repeats; the guaranteed recall should hold in 95 % of them or more.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from relp_sae.faithfulness import certificate, plan
from relp_sae.records import Certificate, FeatureScores, RunFolder

BUDGETS = (64, 256, 1024)


@dataclass(frozen=True)
class Coverage:
    """Over the repeats: share of intervals that cover, their mean width, share of bounds that hold.

    ``recall_held`` is NaN, and so is ``guaranteed`` (the mean bound), where no bound was given.
    """

    covered: float
    width: float
    recall_held: float
    guaranteed: float


def compared(
    scores: Sequence[FeatureScores],
) -> Iterator[tuple[FeatureScores, FeatureScores]]:
    """Every estimate with every truth at its base; estimates that use both runs with all."""
    for truth in (one for one in scores if one.kind == "truth"):
        for estimate in (one for one in scores if one.kind == "estimate"):
            if "both" in (estimate.base, truth.base) or estimate.base == truth.base:
                yield estimate, truth


def coverage(
    estimate: FeatureScores, truth: FeatureScores, budget: int, repeats: int, top: int
) -> Coverage:
    """The certificate of ``repeats`` seeds against what all units say, for the true top ``top``."""
    rows = np.flatnonzero(~estimate.units.is_error)
    r = float(np.corrcoef(estimate.score[rows], truth.score[rows])[0, 1])
    largest = rows[np.argsort(-np.abs(truth.score[rows]), kind="stable")[:top]]
    made, recall = [], []
    for seed in range(repeats):
        chosen = plan(estimate, budget, seed)
        made.append(certificate(estimate, truth.name, chosen, truth.score[chosen.rows]))
        recall.append(np.isin(largest, chosen.rows).mean())
    low, high = np.array([(one.pearson.low, one.pearson.high) for one in made]).T
    bounds = np.array([_bound(one, top) for one in made])
    given = ~np.isnan(bounds)
    return Coverage(
        covered=float(np.mean((low - 1e-9 <= r) & (r <= high + 1e-9))),
        width=float(np.mean(high - low)),
        recall_held=float(np.mean(bounds <= np.array(recall) + 1e-9)) if given.all() else np.nan,
        guaranteed=float(bounds.mean()),
    )


def _bound(one: Certificate, top: int) -> float:
    return next((recall.at_least for recall in one.recalls if recall.k == top), np.nan)


def table(scores: Sequence[FeatureScores], repeats: int, top: int) -> Iterator[str]:
    """One Markdown row per estimate, truth and budget."""
    yield (
        f"| estimate | truth | r of all units | patched | covered | mean width | "
        f"top {top} bound held | mean bound |"
    )
    yield "| :--- | :--- " + "| ---: " * 6 + "|"
    for estimate, truth in compared(scores):
        rows = ~estimate.units.is_error
        r = np.corrcoef(estimate.score[rows], truth.score[rows])[0, 1]
        for budget in (one for one in BUDGETS if one < np.count_nonzero(rows)):
            found = coverage(estimate, truth, budget, repeats, top)
            cells = (
                *(estimate.label, truth.name, f"{r:.3f}", str(budget), f"{found.covered:.0%}"),
                *(f"{found.width:.3f}", f"{found.recall_held:.0%}", f"{found.guaranteed:.2f}"),
            )
            shown = ("-" if cell.startswith("nan") else cell.replace("%", " %") for cell in cells)
            yield f"| {' | '.join(shown)} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", help="a finished run: relp-sae run --out FOLDER")
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--top", type=int, default=10, help="k of the recall bound")
    asked = parser.parse_args()
    for row in table(RunFolder.open(asked.folder).read_scores(), asked.repeats, asked.top):
        print(row, flush=True)


if __name__ == "__main__":
    main()
