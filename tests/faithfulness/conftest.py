"""Small records to compare: every test says its scores pair by pair."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from relp_sae.records import FeatureScores, Units

Record = Callable[..., FeatureScores]


@pytest.fixture
def record() -> Record:
    """``record("relp", [[1, 2], [3]])``: pair 0 with features 0 and 1, pair 1 with feature 0."""

    def make(
        name: str,
        by_pair: Sequence[Sequence[float]],
        kind: str = "estimate",
        base: str = "corrupted",
    ) -> FeatureScores:
        sizes = [len(scores) for scores in by_pair]
        n = sum(sizes)
        units = Units(
            pair=np.repeat(np.arange(len(sizes)), sizes),
            site=np.full(n, "resid_pre.2"),
            pos=np.full(n, 7),
            feature=np.concatenate([np.arange(size) for size in sizes]),
            delta=np.ones(n),
            relative_step=np.full(n, 0.1),
        )
        score = np.concatenate([np.asarray(scores, dtype=np.float64) for scores in by_pair])
        return FeatureScores(kind, name, base, units, score, np.zeros(n))

    return make


@pytest.fixture
def study(record: Record) -> dict[str, FeatureScores]:
    """Heavy-tailed truths of 8 uneven pairs, and estimates that are off by more and more."""
    generator = np.random.default_rng(0)
    sizes = [12, 40, 25, 33, 18, 50, 15, 29]
    truth = [generator.standard_t(2, size) for size in sizes]

    def off_by(noise: float) -> list[np.ndarray]:
        return [scores + noise * generator.normal(size=len(scores)) for scores in truth]

    return {
        "denoise": record("denoise", truth, kind="truth"),
        "gradient": record("gradient", off_by(0.2)),
        "relp": record("relp", off_by(1.0)),
        "relp-ah": record("relp-ah", off_by(3.0)),
        "integrated-gradients": record("integrated-gradients:20", off_by(0.2), base="both"),
        "random": record("random", off_by(100.0), base="both"),
    }
