"""Ways to patch, timed in turns: whatever slows the machine slows all of them alike."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from floor import gemm_rate, issued_flops, timed, useful_flops_of
from tqdm import tqdm
from workload import Rows

import relp_sae as rs
from relp_sae.models import LanguageModel
from relp_sae.patching.memory import longest_batch


@dataclass(frozen=True, eq=False)
class Way:
    """A way to measure the denoising effects of some units (``rows``) of a run."""

    name: str
    run: rs.PairedRun
    rows: Rows
    effects: Callable[[], np.ndarray]
    model: LanguageModel
    """Whose weights' type and device the GEMM rate is measured in."""


@dataclass(eq=False)
class Timed:
    """What was seen of one way: per round the seconds and the round's GEMM rate, in FLOP/s."""

    way: Way
    issued: int
    useful: int
    seconds: list[float] = field(default_factory=list)
    gemm: list[float] = field(default_factory=list)
    effects: np.ndarray = field(default_factory=lambda: np.empty(0))

    @property
    def rates(self) -> np.ndarray:
        """Patches per second, by round."""
        return len(self.way.rows) / np.array(self.seconds)

    def times_faster_than(self, other: "Timed") -> float:
        """The median over rounds of the ratio of rates."""
        return float(np.median(self.rates / other.rates))

    def share(self, flops: int) -> float:
        """The median over rounds of FLOP/s over the GEMM rate."""
        return float(np.median(flops / np.array(self.seconds) / np.array(self.gemm)))


def take_turns(ways: Sequence[Way], rounds: int) -> list[Timed]:
    """Time every way once a round, in the order of the list and back.

    Before, each way runs once while PyTorch counts its matrix products; this also warms up. The
    GEMM rate is measured before and after each way, at the rows that the packed engine's batches
    may have; a round's rate is the best of its measurements, since the others were disturbed.
    """
    seen = [
        Timed(way, issued_flops(way.effects), useful_flops_of(way.run, way.rows)) for way in ways
    ]
    for turn in tqdm(range(rounds), desc="rounds", disable=None):
        rates: dict[LanguageModel, list[float]] = {}
        for one in seen if turn % 2 == 0 else seen[::-1]:
            model = one.way.model
            rows = gemm_rows(one.way.run)
            measured = rates.setdefault(model, [])
            measured.append(gemm_rate(model, rows))
            seconds, one.effects = timed(one.way.effects)
            measured.append(gemm_rate(model, rows))
            one.seconds.append(seconds)
        for one in seen:
            one.gemm.append(max(rates[one.way.model]))
    return seen


def gemm_rows(run: rs.PairedRun) -> int:
    """The most rows that a batch of the packed engine has."""
    return longest_batch(run, max(len(pair.clean_ids) for pair in run.pairs))
