"""The packed engine: the changed runs of many prompts together, and no work done twice."""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from relp_sae.errors import RunError
from relp_sae.models import LanguageModel
from relp_sae.models.family import Role
from relp_sae.models.memory import out_of_memory
from relp_sae.patching.engine import Changes, engines, require_errors_held
from relp_sae.patching.interventions import Interventions
from relp_sae.patching.memory import longest_batch
from relp_sae.patching.packed.attention import PackedAttention
from relp_sae.patching.packed.contexts import InContext, by_context, entered, in_memory
from relp_sae.patching.packed.forward import last_stream
from relp_sae.patching.packed.groups import Group, entry_of, groups_of, packs, unchanged
from relp_sae.patching.packed.prompts import Prompt, unchanged_prompts
from relp_sae.run import PairedRun
from relp_sae.run.readout import LOGITS, readout

T = TypeVar("T")

Values = list[Float[Tensor, "_"]]
"""The metric of each group's runs."""

log = logging.getLogger("relp_sae")


class PackedEngine:
    """Runs start where their change enters, and are packed into one product for each weight.

    If the device runs out of memory within the run's budget, packs are halved from there on.
    """

    def __init__(self) -> None:
        self.most_rows: int | None = None  # once the memory ran out

    @torch.no_grad()
    def changes(self, run: PairedRun, interventions: Sequence[Interventions]) -> list[Changes]:
        """See `Engine`."""
        require_errors_held(self, run)
        found = [torch.zeros(len(one.starts), dtype=torch.float64) for one in interventions]
        longest = max(len(run.pairs[one.pair].clean_ids) for one in interventions)
        limit = longest_batch(run, longest)
        first = min(entry_of(one.site).block for one in interventions)
        waiting = deque(in_memory(run, by_context(interventions), longest))
        while waiting:
            together = waiting.popleft()
            rows = min(limit, self.most_rows or limit)
            groups = _unless_out_of_memory(lambda t=together, r=rows: self._groups(run, t, r))
            if groups is not None:
                with (
                    run.products.faster(run.model, slice(first, None)),
                    _packed_attention(run.model) as attention,
                ):
                    self._measure(run, attention, groups, rows, found)
                del groups  # before the next prompts are run
                run.freed.give_back()
            elif len(together) > 1:
                half = len(together) // 2
                waiting.extendleft([together[half:], together[:half]])
            else:
                raise RunError(
                    f"The memory is not enough for an unchanged run of {longest} positions. "
                    "Free memory, use shorter prompts, or another device."
                )
        return [one.numpy() for one in found]

    def _groups(self, run: PairedRun, together: Sequence[InContext], rows: int) -> list[Group]:
        """All runs of some prompts to be computed, the unchanged run of each prompt first."""
        blocks = {block for _, mine in together for block in entered(one for _, one in mine)}
        contexts = [context for context, _ in together]
        prompts = unchanged_prompts(run, contexts, blocks, rows)
        found: list[Group] = []
        for context, mine in together:
            groups = [
                group
                for index, one in mine
                for group in groups_of(index, one, prompts[context], run.model.n_layers)
            ]
            found += [unchanged(groups), *groups] if groups else []
        return found

    def _measure(
        self,
        run: PairedRun,
        attention: Sequence[PackedAttention],
        groups: Sequence[Group],
        rows: int,
        found: Sequence[Tensor],
    ) -> None:
        """Fill in what ``found`` holds of the groups' runs."""
        base: dict[Prompt, Tensor] = {}  # each prompt's unchanged run comes before its others
        waiting = deque(packs(groups, rows))
        while waiting:
            pack = waiting[0]
            values = _unless_out_of_memory(
                lambda p=pack: _metrics(run, p, last_stream(run.model, attention, p))
            )
            if values is None:
                waiting = self._halved(waiting)
                continue
            for group, metric in zip(waiting.popleft(), values, strict=True):
                if group.intervention is None:
                    base[group.prompt] = metric
                else:
                    found[group.index][group.rows] = metric - base[group.prompt]

    def _halved(self, waiting: deque[list[Group]]) -> deque[list[Group]]:
        """All that waits, in packs of half the size of the first."""
        runs = sum(group.runs for group in waiting[0])
        rows = sum(group.runs * group.positions for group in waiting[0])
        if runs == 1:
            raise RunError(
                f"The memory is not enough for a single patched run of {rows} positions. Free "
                "memory, use shorter prompts, or another device."
            )
        if self.most_rows is None:
            log.warning(
                "Out of memory with %d rows in a batch: going on with half of them. "
                "A smaller --memory avoids this.",
                rows,
            )
        self.most_rows = rows // 2
        return deque(packs([group for pack in waiting for group in pack], self.most_rows))


@contextmanager
def _packed_attention(model: LanguageModel) -> Iterator[list[PackedAttention]]:
    """Inside the context the model's attention modules call these, block by block."""
    modules = [place.module for place in model.places(Role.ATTENTION)]
    attention = [PackedAttention(block) for block in range(len(modules))]
    with model.attention_replaced(dict(zip(modules, attention, strict=True))):
        yield attention


def _metrics(
    run: PairedRun, pack: Sequence[Group], last: Sequence[Float[Tensor, "_ d_model"]]
) -> Values:
    """The metric of each group, read together for all groups of a pair."""
    rows_of: dict[int, list[int]] = {}
    for i, group in enumerate(pack):
        rows_of.setdefault(group.prompt.pair, []).append(i)
    found: dict[int, Tensor] = {}
    for pair, mine in rows_of.items():
        metric = _metric(run, pair, torch.cat([last[i] for i in mine]))
        found |= dict(zip(mine, metric.split([len(last[i]) for i in mine]), strict=True))
    return [found[i] for i in range(len(pack))]


def _metric(run: PairedRun, pair: int, last: Float[Tensor, "run d_model"]) -> Float[Tensor, "run"]:
    """The metric of runs of one pair from the stream behind the last block; float64."""
    read = readout(run, [pair])
    width = run.model.config.vocab_size if read.tokens is None else len(read.tokens)
    parts = last.split(max(1, LOGITS // width))
    return torch.cat([read.metric(read.logits(part)) for part in parts]).double().cpu()


def _unless_out_of_memory(make: Callable[[], T]) -> T | None:
    """What ``make`` gives, or None when the memory is not enough for it."""
    try:
        return make()
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        return None


engines.register("packed")(PackedEngine)
