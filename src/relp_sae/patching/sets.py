"""Runs in which a whole set of one site's units is moved to its other value at once.

Sets are of units of *one* site: x there is the sum of its units, so their steps add up to the step
of the set. Steps at two sites do not: part of the later one follows from the earlier one already.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from relp_sae.patching.restart import BaseRun, BlockCalls
from relp_sae.patching.truth import Measuring, require_precision
from relp_sae.records import Site
from relp_sae.run import PairedRun, PairSteps
from relp_sae.tensors import Steps

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
    batch_size: int
    calls: BlockCalls
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

    @cached_property
    def _base(self) -> BaseRun:
        prompts = self.run.pairs[self.pair]
        ids = prompts.clean_ids if self.from_clean else prompts.corrupted_ids
        return BaseRun(self.run.model, ids, self.site.layer)

    @cached_property
    def _vectors(self) -> Steps:
        return -self.steps.vector if self.from_clean else self.steps.vector

    def metric(self, members: Members) -> Float[np.ndarray, "sets"]:
        """The metric with each set moved; the empty set's is the unchanged run's.

        Equal sets are run once. All runs start at the first unit's position.

        Raises:
            ValueError: the sets are not of this site's units.
        """
        if members.shape[1] != len(self):
            raise ValueError(f"sets of {members.shape[1]} units where {self.site} has {len(self)}")
        rows: dict[bytes, int] = {}  # of each distinct set, by its packed members
        row_of = [rows.setdefault(row.tobytes(), len(rows)) for row in np.packbits(members, axis=1)]
        _, first = np.unique(row_of, return_index=True)
        distinct = torch.from_numpy(members[first])
        values = [self._metric(batch) for batch in distinct.split(self.batch_size)]
        return torch.cat(values)[row_of].numpy()

    def _metric(self, members: Bool[Tensor, "sets units"]) -> Float[Tensor, "sets"]:
        """The metric of one batch of sets; shape (sets,)."""
        base, pos = self._base, self.steps.pos
        start = int(pos.min()) if len(pos) else len(base.ids) - 1
        added = self._vectors.new_zeros(len(members), len(base.ids) - start, base.model.d_model)
        for at in pos.unique().tolist():
            here = pos == at
            chosen = members[:, here].to(added)
            added[:, at - start] = chosen @ self._vectors[here.to(added.device)]
        logits = base.restarted(start, {self.site: added}, self.calls)
        return self.run.metric_of(self.pair, logits).double().cpu()


def sets_at_sites(
    run: PairedRun,
    pair: int,
    scores: Mapping[str, Float[np.ndarray, "units"]],
    measuring: Measuring,
    calls: BlockCalls,
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
        sets = UnitSets(run, pair, steps.site, measuring.batch_size, calls)
        start, end = end, end + len(sets)
        yield sets, {label: score[start:end] for label, score in scores.items()}
