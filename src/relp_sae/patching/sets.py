"""Runs in which a whole set of one site's units is moved to its other value at once.

Sets are of units of *one* site: x there is the sum of its units, so their steps add up to the step
of the set. Steps at two sites do not: part of the later one follows from the earlier one already.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from relp_sae.patching.engine import Engine
from relp_sae.patching.interventions import Added, Interventions, Rows
from relp_sae.patching.truth import require_precision
from relp_sae.records import Site
from relp_sae.run import PairedRun, PairSteps

Members = Bool[np.ndarray, "sets units"]
"""Which units of a site are in each set, in the order of the pair's units at that site."""


@dataclass(frozen=True, eq=False)
class UnitSets:
    """One pair's runs with sets of units of one site moved to the other run's value.

    With ``from_clean`` the units of a set go from clean to corrupted in the clean run (are they
    necessary?), otherwise from corrupted to clean in the corrupted one (are they sufficient?).

    Raises:
        InputError: a model in bfloat16.
    """

    run: PairedRun
    pair: int
    site: Site
    engine: Engine
    from_clean: bool = False

    def __post_init__(self) -> None:
        require_precision(self.run.model.dtype)

    @cached_property
    def steps(self) -> PairSteps:
        """The units."""
        (found,) = [one for one in self.run.steps(self.pair) if one.site == self.site]
        return found

    def __len__(self) -> int:
        return len(self.steps.pos)

    @property
    def unchanged_metric(self) -> float:
        """The metric with the empty set moved."""
        measured = self.run.measured[self.pair]
        return measured.clean_metric if self.from_clean else measured.corrupted_metric

    def metric(self, members: Members) -> Float[np.ndarray, "sets"]:
        """The metric with each set moved.

        Equal sets are run once, each from the position of its first unit on.

        Raises:
            ValueError: the sets are not of this site's units.
        """
        if members.shape[1] != len(self):
            raise ValueError(f"sets of {members.shape[1]} units where {self.site} has {len(self)}")
        rows: dict[bytes, int] = {}  # of each distinct set, by its packed members
        row_of = [rows.setdefault(row.tobytes(), len(rows)) for row in np.packbits(members, axis=1)]
        _, first = np.unique(row_of, return_index=True)
        (changes,) = self.engine.changes(self.run, [self._interventions(members, first)])
        return self.unchanged_metric + changes[row_of]

    def _interventions(self, members: Members, distinct: Int[np.ndarray, "runs"]) -> Interventions:
        """A run for each of the ``distinct`` sets; no copy of all the members is made."""
        pos, length = self.steps.pos, len(self.run.pairs[self.pair].clean_ids)
        starts = torch.from_numpy(first_positions(members, pos.numpy(), length)[distinct])
        which, is_member = torch.from_numpy(distinct), torch.from_numpy(members)

        def added(rows: Rows) -> Added:
            first = int(starts[rows[0]])
            shape = len(rows), length - first, self.run.model.width(self.site)
            steps = torch.zeros(shape, dtype=self.run.model.dtype, device=self.run.model.device)
            for at in pos[pos >= first].unique().tolist():
                here = (pos == at).nonzero()[:, 0]
                chosen = is_member[which[rows, None], here].to(steps)
                steps[:, at - first] = chosen @ self.steps.vectors(here)
            return -steps if self.from_clean else steps

        return Interventions(self.pair, self.from_clean, self.site, starts, None, added)


def first_positions(
    members: Members, pos: Int[np.ndarray, "units"], length: int
) -> Int[np.ndarray, "sets"]:
    """The position of each set's first unit, ``length`` of one without; ``pos`` ascends."""
    if not len(pos):
        return np.full(len(members), length)
    return np.where(members.any(1), pos[members.argmax(1)], length)


def sets_at_sites(
    run: PairedRun, pair: int, scores: Mapping[str, Float[np.ndarray, "units"]], engine: Engine
) -> Iterator[tuple[UnitSets, dict[str, np.ndarray]]]:
    """Each site of a pair, with the part of each score that belongs to the site's units.

    ``scores`` are of all units of the pair, in the order of ``run.units_of(pair)``.

    Raises:
        ValueError: a score of another number of units.
    """
    total = sum(len(steps.pos) for steps in run.steps(pair))
    for label, score in scores.items():
        if len(score) != total:
            raise ValueError(f"{label} has {len(score)} scores for {total} units of pair {pair}")
    end = 0
    for steps in run.steps(pair):
        sets = UnitSets(run, pair, steps.site, engine)
        start, end = end, end + len(sets)
        yield sets, {label: score[start:end] for label, score in scores.items()}
