"""How the packed engine's time grows with units, prompt length, dictionary size and pairs.

Each axis is walked several times, all its sizes in turn; the median is kept. The exponent is the
slope of log time over log size: 1 is linear, 0 is free.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from floor import timed
from matplotlib.figure import Figure
from product import engine_loop
from random_sae import random_sae
from workload import lengthened, spread

import relp_sae as rs


@dataclass(frozen=True)
class Growth:
    """Time at each size. ``seconds`` are per patch where ``unit`` says so, otherwise in all."""

    name: str
    axis: str
    unit: str
    sizes: list[int]
    seconds: list[float]

    @property
    def exponent(self) -> float:
        """The slope of the line through the logarithms."""
        return float(np.polyfit(np.log(self.sizes), np.log(self.seconds), 1)[0])


def by_units(run: rs.PairedRun, rounds: int, shares: Sequence[float]) -> Growth:
    """Some of the units of every pair."""
    every = np.arange(len(run.units))
    rows = [spread(every, int(share * len(every))) for share in shares]
    seconds = _medians([engine_loop(run, one, "packed") for one in rows], rounds)
    return Growth("units", "units patched", "seconds", [len(one) for one in rows], seconds)


def by_pairs(run: rs.PairedRun, rounds: int, sizes: Sequence[int]) -> Growth:
    """Some of the pairs, all their units."""
    chosen = [run.pairs[index] for index in run.kept]
    runs = [replace(run, pairs=chosen[:size]) for size in sizes if size <= len(chosen)]
    seconds = _medians([_patch(one) for one in runs], rounds)
    return Growth("pairs", "prompt pairs", "seconds", [len(one.kept) for one in runs], seconds)


def by_length(run: rs.PairedRun, rounds: int, lengths: Sequence[int]) -> Growth:
    """Prompts made longer by neutral text before the sentence; the units stay as near the end.

    Pairs that the model gets wrong at some length are dropped there, so time is per patch.
    """
    pairs = [run.pairs[index] for index in run.kept]
    runs = [
        replace(run, pairs=[lengthened(pair, length, run.model.tokenizer) for pair in pairs])
        for length in lengths
    ]
    seconds = _medians([_patch(one) for one in runs], rounds)
    each = [s / len(one.units) for s, one in zip(seconds, runs, strict=True)]
    return Growth("length", "tokens of a prompt", "seconds per patch", list(lengths), each)


def by_d_sae(run: rs.PairedRun, rounds: int, sizes: Sequence[int]) -> Growth:
    """Random TopK SAEs of other sizes; the search for the units is a part of the time."""
    (site,) = run.sites
    with ExitStack() as folders:
        runs = []
        for size in sizes:
            folder = folders.enter_context(random_sae(str(site), run.model.d_model, size))
            saes = rs.load_saes(str(folder), device=str(run.model.device))
            runs.append(replace(run, dictionaries=saes))
        seconds = _medians([_from_the_start(one) for one in runs], rounds)
        each = [s / len(one.units) for s, one in zip(seconds, runs, strict=True)]
    return Growth("d_sae", "features of the SAE", "seconds per patch", list(sizes), each)


def _patch(run: rs.PairedRun) -> Callable[[], object]:
    """Patching alone: the units are found before."""
    assert len(run.units)
    return lambda: rs.patch(run, "denoise", engine="packed")


def _from_the_start(run: rs.PairedRun) -> Callable[[], object]:
    """Both prompts of each pair, the units, and patching."""
    return lambda: rs.patch(replace(run), "denoise", engine="packed")


def _medians(calls: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    calls[0]()  # warms up
    taken = [[timed(call)[0] for call in calls] for _ in range(rounds)]
    return np.median(taken, axis=0).tolist()


def draw(growth: Growth, folder: Path) -> Path:
    """A log-log figure with a line of slope 1 through the first point."""
    figure = Figure(figsize=(4.2, 3.2), layout="constrained")
    axes = figure.subplots()
    sizes, seconds = np.array(growth.sizes), np.array(growth.seconds)
    axes.loglog(sizes, seconds, "o-", color="#0072b2", label=f"exponent {growth.exponent:.2f}")
    linear = seconds[0] * sizes / sizes[0]
    axes.loglog(sizes, linear, "--", color="#8c959f", linewidth=0.8, label="linear")
    axes.set_xlabel(growth.axis)
    axes.set_ylabel(growth.unit)
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    axes.legend(frameon=False)
    path = folder / f"growth-{growth.name}.png"
    figure.savefig(path, dpi=160)
    return path
