"""The packed engine: the changed runs of many prompts together, and no work done twice."""

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor

from relp_sae.errors import RunError
from relp_sae.models import LanguageModel
from relp_sae.models.family import Role
from relp_sae.patching.engine import Changes, engines
from relp_sae.patching.interventions import Interventions
from relp_sae.patching.memory import longest_batch
from relp_sae.patching.packed.attention import PackedAttention
from relp_sae.patching.packed.forward import last_stream
from relp_sae.patching.packed.groups import Group, entry_of, groups_of, packs, unchanged
from relp_sae.patching.packed.products import Products
from relp_sae.patching.packed.prompts import Context, Prompt, unchanged_prompts
from relp_sae.run import PairedRun
from relp_sae.run.readout import readout

Values = list[Float[Tensor, "_"]]
"""The metric of each group's runs."""

LOGITS = 2**24
"""How many logits stand in memory at once, where the metric reads the whole vocabulary."""

log = logging.getLogger("relp_sae")


class PackedEngine:
    """Runs start where their change enters, and are packed into one product for each weight.

    ``memory`` is the budget in bytes for what a pack makes; see `longest_batch`. If the device
    runs out of memory all the same, packs are halved from there on.
    """

    def __init__(self, memory: int | None = None) -> None:
        self.memory = memory
        self.most_rows: int | None = None  # once the memory ran out
        self._products = Products(memory)

    @torch.no_grad()
    def changes(self, run: PairedRun, interventions: Sequence[Interventions]) -> list[Changes]:
        """See `Engine`."""
        limit = self._limit(run, interventions)
        waiting = deque(packs(_groups(run, interventions, limit), limit))
        found = [torch.zeros(len(one.starts), dtype=torch.float64) for one in interventions]
        base: dict[Prompt, Tensor] = {}  # each prompt's unchanged run comes before its others
        first = min(entry_of(one.site).block for one in interventions)
        with self._products.faster(run.model, first), _packed_attention(run.model) as attention:
            while waiting:
                values = self._attempt(run, attention, waiting[0])
                if values is None:
                    waiting = self._halved(waiting)
                    continue
                for group, metric in zip(waiting.popleft(), values, strict=True):
                    if group.intervention is None:
                        base[group.prompt] = metric
                    else:
                        found[group.index][group.rows] = metric - base[group.prompt]
        return [one.numpy() for one in found]

    def _limit(self, run: PairedRun, interventions: Sequence[Interventions]) -> int:
        longest = max(len(run.pairs[one.pair].clean_ids) for one in interventions)
        limit = longest_batch(run.model, longest, self.memory)
        return min(limit, self.most_rows or limit)

    def _attempt(
        self, run: PairedRun, attention: Sequence[PackedAttention], pack: Sequence[Group]
    ) -> Values | None:
        """The metrics of a pack, or None when the memory is not enough for it."""
        try:
            return _metrics(run, pack, last_stream(run.model, attention, pack))
        except (RuntimeError, MemoryError) as error:
            if not _out_of_memory(error):
                raise
            return None

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


def _groups(run: PairedRun, interventions: Sequence[Interventions], rows: int) -> list[Group]:
    """All runs that have to be computed, by prompt, the unchanged run of each prompt first."""
    blocks: set[int] = set()
    for one in interventions:
        entry = entry_of(one.site)
        blocks |= {entry.block, entry.block + entry.inside}
    contexts: list[Context] = list(
        dict.fromkeys((one.pair, one.from_clean) for one in interventions)
    )
    prompts = unchanged_prompts(run, contexts, blocks, rows)
    mine: dict[Context, list[Group]] = {context: [] for context in contexts}
    for index, one in enumerate(interventions):
        context = one.pair, one.from_clean
        mine[context] += groups_of(index, one, prompts[context], run.model.n_layers)
    return [group for some in mine.values() if some for group in (unchanged(some), *some)]


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


def _out_of_memory(error: BaseException) -> bool:
    """Whether torch or Python ran out of memory; torch's CPU allocator has no class of its own."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        "not enough memory" in str(error) or "can't allocate memory" in str(error)
    )


engines.register("packed")(PackedEngine)
