"""Runs that go through the model together: same prompt, same place and position of entry."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Float

from relp_sae.patching.interventions import Interventions, Rows
from relp_sae.patching.packed.prompts import Prompt
from relp_sae.records import Site


class Entry(NamedTuple):
    """The first block that a change at a site reaches, and whether it does so inside it."""

    block: int
    inside: bool


def entry_of(site: Site) -> Entry:
    """Where a change enters. What is added to a block's output is added to the next one's input."""
    match site.kind:
        case "resid_pre":
            return Entry(site.layer, inside=False)
        case "resid_post" | "mlp_out":
            return Entry(site.layer + 1, inside=False)
        case _:  # z, attn_out, resid_mid and the MLP's input: behind the block's attention
            return Entry(site.layer, inside=True)


@dataclass(frozen=True, eq=False)
class Group:
    """Runs of one prompt that are computed from position ``start`` on.

    ``rows`` says which of the runs of the ``index``-th of all interventions they are. Without an
    intervention it is the unchanged run.
    """

    prompt: Prompt
    entry: Entry
    start: int
    rows: Rows
    index: int = -1
    intervention: Interventions | None = None

    @property
    def site(self) -> Site:
        """Where the runs are changed."""
        assert self.intervention is not None
        return self.intervention.site

    @property
    def runs(self) -> int:
        """How many."""
        return len(self.rows)

    @property
    def positions(self) -> int:
        """How many positions of each run are computed."""
        return self.prompt.length - self.start

    def part(self, first: int, last: int) -> "Group":
        """The runs from ``first`` to before ``last``."""
        return replace(self, rows=self.rows[first:last])

    def added(self) -> Float[torch.Tensor, "run width d_x"]:
        """What the runs add from their start on."""
        stream = self.prompt.stream[self.entry.block]
        if self.intervention is None:
            return stream.new_zeros(self.runs, 0, stream.shape[1])
        skipped = self.start - int(self.intervention.starts[self.rows[0]])
        return self.intervention.added(self.rows)[:, skipped : skipped + self.positions]


def groups_of(index: int, one: Interventions, prompt: Prompt, blocks: int) -> list[Group]:
    """The groups of an intervention in a model of ``blocks`` blocks.

    Where no attention comes after the change, only a change of the last position is read; what
    cannot be read is in no group.
    """
    entry, groups, last = entry_of(one.site), [], prompt.length - 1
    unseen = entry.block == blocks or (entry.inside and entry.block == blocks - 1)
    for start in one.starts.unique().tolist():
        reached = last if one.width is None else start + one.width - 1
        if start <= last and (reached >= last or not unseen):
            rows = (one.starts == start).nonzero()[:, 0]
            groups.append(Group(prompt, entry, last if unseen else start, rows, index, one))
    return groups


def unchanged(groups: Sequence[Group]) -> Group:
    """The unchanged run of a prompt, computed from the earliest entry and start of its groups."""
    entry = Entry(min(one.entry.block for one in groups), inside=False)
    start = min(one.start for one in groups)
    return Group(groups[0].prompt, entry, start, torch.zeros(1, dtype=torch.int64))


def packs(groups: Sequence[Group], limit: int) -> Iterator[list[Group]]:
    """The groups' runs, in order, in packs of at most ``limit`` rows and at least one run."""
    pack: list[Group] = []
    room = limit
    for group in groups:
        done = 0
        while done < group.runs:
            fitting = min(max(room, 0) // group.positions, group.runs - done)
            if not fitting and pack:
                yield pack
                pack, room = [], limit
                continue
            taken = group.part(done, done + max(fitting, 1))
            pack.append(taken)
            done += taken.runs
            room -= taken.runs * taken.positions
    if pack:
        yield pack
