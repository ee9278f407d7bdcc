"""Which prompts are worked on together, so that what is kept of them stays within the budget."""

from collections.abc import Iterable, Iterator, Sequence

from relp_sae.models.memory import key_bytes
from relp_sae.patching.interventions import Interventions
from relp_sae.patching.packed.groups import entry_of
from relp_sae.run import PairedRun
from relp_sae.run.activations import Context
from relp_sae.run.memory import PROMPTS

InContext = tuple[Context, list[tuple[int, Interventions]]]
"""A prompt, and its interventions with their places among all."""


def by_context(interventions: Sequence[Interventions]) -> list[InContext]:
    """The interventions by the prompt that they change, in the order of the first of each."""
    found: dict[Context, list[tuple[int, Interventions]]] = {}
    for index, one in enumerate(interventions):
        found.setdefault((one.pair, one.from_clean), []).append((index, one))
    return list(found.items())


def entered(interventions: Iterable[Interventions]) -> set[int]:
    """The blocks at whose input the unchanged stream is needed."""
    entries = [entry_of(one.site) for one in interventions]
    return {entry.block for entry in entries} | {one.block + one.inside for one in entries}


def in_memory(
    run: PairedRun, contexts: Sequence[InContext], longest: int
) -> Iterator[list[InContext]]:
    """The prompts, as many at a time as the budget has room for, and at least one."""
    blocks = entered(one for _, mine in contexts for _, one in mine)
    keys_values = (run.model.n_layers - min(blocks)) * key_bytes(run.model)
    streams = len(blocks) * run.model.d_model * run.model.dtype.itemsize
    mask = longest * run.model.dtype.itemsize
    size = max(1, int(PROMPTS * run.budget) // (longest * (keys_values + streams + mask)))
    for start in range(0, len(contexts), size):
        yield list(contexts[start : start + size])
