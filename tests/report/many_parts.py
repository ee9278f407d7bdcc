"""Made-up records of a run that has everything: three truths, parts, ceilings, curves, regimes.

Numbers are seeded noise around what the methods are known to do; nothing is computed from scores.
"""

from collections.abc import Iterator
from itertools import pairwise, product

import numpy as np
import pandas as pd

from relp_sae.records import (
    EVERYWHERE,
    Agreement,
    Ceiling,
    Contrast,
    CurveArea,
    DependentTest,
    FeatureScores,
    Findings,
    Interval,
    Manifest,
    RegimePoint,
    Units,
)
from relp_sae.records.manifest import Completeness, Stage

NAN = float("nan")
TRUTHS = {"denoise": "corrupted", "noise": "clean", "shapley": "both"}
FEATURE_SITES = ("resid_pre.2", "resid_pre.15")
NODE_SITES = tuple(
    f"{kind}.{layer}" for layer in range(12) for kind in ("resid_pre", "attn_out", "mlp_out")
)
ONE_SIDED = {"gradient": 0.6, "relp": 0.75, "relp-ah": 0.3}
BOTH_SIDED = {
    **{"gradient-mean": 0.8, "relp-mean": 0.85, "integrated-gradients": 0.9, "secant": 0.93},
    **{"secant:2": 0.95, "delta-norm": 0.3, "direct": 0.1, "random": 0.0},
}
ESTIMATES = {
    **{(name, base): r for name, r in ONE_SIDED.items() for base in ("corrupted", "clean")},
    **{(name, "both"): r for name, r in BOTH_SIDED.items()},
}
MEASURES = ("pearson", "spearman", "kendall-tau-b", "sign", "slope", "r2", "top-10-overlap")
EDGES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
LEVELS = {
    "relative step": {
        f"{low:g} to {high:g}": (max(low, 0.005) * high) ** 0.5 for low, high in pairwise(EDGES)
    },
    "scale": {f"{scale:g}": scale for scale in (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)},
    "set size": {"1": 1.0, "4": 4.0, "16": 16.0, "64": 64.0, "all": 256.0},
}


def label(name: str, base: str) -> str:
    return name if base == "both" else f"{name}@{base}"


def around(rng: np.random.Generator, value: float, spread: float = 0.04) -> Interval:
    middle = value + spread * rng.normal()
    return Interval(middle, middle - spread, middle + 0.8 * spread)


def scores(nodes: bool, pairs: int = 6, per_site: int = 10) -> list[FeatureScores]:
    rng = np.random.default_rng(1)
    sites = NODE_SITES if nodes else FEATURE_SITES
    feature = np.full(per_site, -2) if nodes else np.r_[-1, -1, np.arange(per_site - 2)]
    size = pairs * len(sites) * per_site
    units = Units(
        pair=np.repeat(np.arange(pairs), len(sites) * per_site),
        site=np.tile(np.repeat(np.array(sites), per_site), pairs),
        pos=np.tile(np.arange(per_site), pairs * len(sites)),
        feature=np.tile(feature, pairs * len(sites)),
        delta=rng.normal(size=size),
        relative_step=rng.uniform(0.01, 0.5, size),
    )
    truth = 0.02 * rng.standard_t(1.8, size)
    errors = {"shapley": np.full(size, 0.002)}
    measured = [
        FeatureScores(
            "truth", name, base, units, truth + 0.02 * rng.normal(size=size),  # pyright: ignore
            errors.get(name, np.zeros(size)),
        )
        for name, base in TRUTHS.items()
    ]  # fmt: skip
    estimates = [
        FeatureScores(
            "estimate", name, base, units, r * truth + 0.03 * (1 - r) * rng.normal(size=size),  # pyright: ignore
            np.zeros(size),
        )
        for (name, base), r in ESTIMATES.items()
    ]  # fmt: skip
    return [*measured, *estimates]


def manifest(plain: Manifest, nodes: bool) -> Manifest:
    """``plain`` with what such a run has."""
    stages = {
        label(*one): Stage(status="done", seconds=1.0 + i, forwards=1 + i, backwards=1 + i)
        for i, one in enumerate(ESTIMATES)
    }
    stages |= {name: Stage(status="done", seconds=60.0) for name in TRUTHS}
    sites = NODE_SITES[::3] if nodes else FEATURE_SITES
    gaps = {"secant": 3e-7, "relp-mean": 0.21}
    completeness = {
        name: {site: Completeness(largest=2 * gap, median=gap) for site in sites}
        for name, gap in gaps.items()
    }
    config = plain.config.model_copy(
        update={"units": "nodes" if nodes else "features", "saes": () if nodes else ("made-up",)}
    )
    changes = {"config": config, "stages": stages, "completeness": completeness}
    return plain.model_copy(update=changes | ({"sae_quality": {}} if nodes else {}))


def findings(nodes: bool) -> Findings:
    rng = np.random.default_rng(2)
    own = ("attn_out", "mlp_out", "resid_pre") if nodes else FEATURE_SITES
    return Findings(
        agreements=tuple(agreements(rng, (EVERYWHERE, *own))),
        contrasts=tuple(contrasts(rng, own)),
        ceilings=tuple(ceilings(rng, (EVERYWHERE, *own))),
        curves=() if nodes else tuple(curves(rng)),
        regimes=tuple(regimes(rng, NODE_SITES if nodes else FEATURE_SITES)),
    )


def agreements(rng: np.random.Generator, parts: tuple[str, ...]) -> Iterator[Agreement]:
    for truth, part, ((name, base), r), measure in product(
        TRUTHS, parts, ESTIMATES.items(), MEASURES
    ):
        mean = around(rng, r)
        yield Agreement(name, base, truth, measure, mean, mean, (mean.value,) * 6, part)


def contrasts(rng: np.random.Generator, parts: tuple[str, ...]) -> Iterator[Contrast]:
    tests = (
        DependentTest("williams", 3.21, 0.0012, NAN, NAN),
        DependentTest("hittner", NAN, NAN, NAN, NAN, "the formula gives its two Z 3.47"),
        DependentTest("zou", 0.15, NAN, 0.1, 0.2, "an interval, no p"),
    )
    for i, (part, first) in enumerate(product((EVERYWHERE, *parts), ("relp", "secant"))):
        difference = around(rng, 0.15)
        yield Contrast(
            first, "gradient", "corrupted", "denoise", "pearson", difference, 0.03, 0.06 * i,
            primary=i == 0, part=part, pairs=6, generalising=around(rng, 0.15, 0.08),
            p_wilcoxon=0.0312, descriptive=tests,
        )  # fmt: skip


def ceilings(rng: np.random.Generator, parts: tuple[str, ...]) -> Iterator[Ceiling]:
    for truth, part in product(TRUTHS, parts):
        sampling = around(rng, 0.97, 0.01) if truth == "shapley" else Interval(1.0, 1.0, 1.0)
        yield Ceiling(truth, part, sampling, around(rng, 0.6))


def curves(rng: np.random.Generator) -> Iterator[CurveArea]:
    rankings = [*TRUTHS, *(label(*one) for one in ESTIMATES)]
    directions = ("sufficiency", "necessity")
    for site, ranking, order, direction in product(
        FEATURE_SITES, rankings, ("signed", "size"), directions
    ):
        area, cpr, cmd = (around(rng, middle) for middle in (0.7, 0.9, 0.1))
        yield CurveArea(site, ranking, order, direction, area, cpr, cmd)


def regimes(rng: np.random.Generator, sites: tuple[str, ...]) -> Iterator[RegimePoint]:
    at_sites = {"site": {site: float(site.rpartition(".")[2]) for site in sites}}
    for regime, levels in (LEVELS | at_sites).items():
        for (level, at), ((name, base), r) in product(levels.items(), ESTIMATES.items()):
            falls = 1 - 0.05 * list(levels).index(level) * (name in ONE_SIDED)
            pearson, slope = around(rng, r * falls), around(rng, 1.0)
            yield RegimePoint(regime, level, at, name, base, "denoise", pearson, slope, 100)


def curve_table(pairs: int = 6) -> pd.DataFrame:
    """``curves.parquet`` as patching/curves.py writes it."""
    rng = np.random.default_rng(3)
    rows = []
    strength = {**{(name, "both"): 1.0 for name in TRUTHS}, **ESTIMATES}
    for pair, site, ((name, base), r), order, direction in product(
        range(pairs), FEATURE_SITES, strength.items(), ("signed", "size"),
        ("sufficiency", "necessity"),
    ):  # fmt: skip
        units = 200 + 10 * pair
        ks = [0, *(2**i for i in range(8)), units]
        half = 4 * 30 ** (1 - r) * np.exp(0.1 * rng.normal())
        for k in ks:
            share = k / (k + half) * (units + half) / units
            rows.append((pair, site, label(name, base), order, direction, k, units, 7 * share - 3))
    columns = ["pair", "site", "ranking", "order", "direction", "k", "units", "metric"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.assign(metric_none=-3.0, metric_all=4.0, clean=4.0)
