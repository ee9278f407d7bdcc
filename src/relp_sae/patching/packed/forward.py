"""The packed pass: the rows of many runs go through the blocks together.

    for each block from the first entry on:
        the runs whose change enters here join, with the rows from their start on:
            the unchanged prompt's stream, and their steps
        where a change enters inside the block (z, attn_out, resid_mid, mlp_in and the like), the
            block is run on the changed rows alone, and the runs join behind it
        the block is run on all rows that have joined: one matrix product for each weight
    of the last block, all rows but each run's last one need their keys and values only

Everything a run needs of earlier positions is in its unchanged prompt's keys and values.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from relp_sae.models import Addition, LanguageModel, at_sites
from relp_sae.patching.packed.attention import PackedAttention
from relp_sae.patching.packed.groups import Group
from relp_sae.patching.packed.layout import Layout, Part, Stream
from relp_sae.records import Site

Arriving = tuple[Group, Float[Tensor, "_ _ d_model"]]
"""Runs that join, and their stream (run, pos, d_model) from their start on."""


def last_stream(
    model: LanguageModel, attention: Sequence[PackedAttention], groups: Sequence[Group]
) -> list[Float[Tensor, "_ d_model"]]:
    """The stream behind the last block at the last position, of each group's runs.

    ``attention`` is what the model's attention modules call, block by block.
    """
    found: dict[Group, Tensor] = {}
    joined: list[Group] = []
    x = torch.empty(0, model.d_model, device=model.device, dtype=model.dtype)
    layout = Layout(model, attention, [])
    behind: list[Arriving] = []
    for block in range(min(group.entry.block for group in groups), model.n_layers):
        here = [group for group in groups if group.entry.block == block]
        arriving = [*behind, *((one, _entering(one)) for one in here if not one.entry.inside)]
        if arriving:
            joined += [group for group, _ in arriving]
            x = torch.cat([x, *(stream.flatten(0, 1) for _, stream in arriving)])
            layout = Layout(model, attention, [_part(group, group.start) for group in joined])
        behind = _inside(model, attention, block, [one for one in here if one.entry.inside])
        if joined and block < model.n_layers - 1:
            x = layout.through(block, x)
    if joined:
        runs = _last_block(layout, joined, x).split([group.runs for group in joined])
        found |= dict(zip(joined, runs, strict=True))
    late = [(one, _entering(one)) for one in groups if one.entry.block == model.n_layers]
    found |= {group: stream[:, -1] for group, stream in [*behind, *late]}
    return [found[group] for group in groups]


def _part(group: Group, first: int) -> Part:
    return Part(group.prompt, group.start, first, group.prompt.length, group.runs)


def _entering(group: Group) -> Float[Tensor, "run pos d_model"]:
    """The stream where the runs of a group enter, from their start on."""
    runs, added = _unchanged(group, group.entry.block), group.added()
    runs[:, : added.shape[1]] += added
    return runs


def _unchanged(group: Group, block: int) -> Float[Tensor, "run pos d_model"]:
    return group.prompt.stream[block][group.start :].repeat(group.runs, 1, 1)


def _inside(
    model: LanguageModel,
    attention: Sequence[PackedAttention],
    block: int,
    groups: Sequence[Group],
) -> list[Arriving]:
    """Run a block on the rows that change behind its attention; the runs join after it."""
    if not groups:
        return []
    added = [group.added() for group in groups]
    widths = [steps.shape[1] for steps in added]
    parts = [
        Part(one.prompt, one.start, one.start, one.start + width, one.runs)
        for one, width in zip(groups, widths, strict=True)
    ]
    rows = [_unchanged(one, block)[:, :width] for one, width in zip(groups, widths, strict=True)]
    additions = {site: _adding(site, groups, added) for site in {one.site for one in groups}}
    with at_sites(model, additions):
        x = Layout(model, attention, parts).through(
            block, torch.cat([one.flatten(0, 1) for one in rows])
        )
    arriving = []
    changed = x.split([one.runs * width for one, width in zip(groups, widths, strict=True)])
    for group, width, here in zip(groups, widths, changed, strict=True):
        stream = _unchanged(group, block + 1)
        stream[:, :width] = here.unflatten(0, (group.runs, width))
        arriving.append((group, stream))
    return arriving


def _adding(
    site: Site, groups: Sequence[Group], added: Sequence[Float[Tensor, "_ _ _"]]
) -> Addition:
    """At a site the steps of the groups that are changed there, on their rows; else nothing."""

    def add(x: Float[Tensor, "1 row width"]) -> Float[Tensor, "1 row width"]:
        found, end = torch.zeros_like(x), 0
        for group, steps in zip(groups, added, strict=True):
            start, end = end, end + steps.shape[0] * steps.shape[1]
            if group.site == site:
                found[0, start:end] = steps.flatten(0, 1)
        return found

    return add


def _last_block(layout: Layout, joined: Sequence[Group], x: Stream) -> Float[Tensor, "run d_model"]:
    """The last block's output at the last position of each run (run, d_model).

    The other rows are needed for their keys and values only.
    """
    model, attention, block = layout.model, layout.attention, layout.model.n_layers - 1
    longer = [group for group in joined if group.positions > 1]
    found = {}
    if longer:
        parts = [
            _part(group, group.start)._replace(end=group.prompt.length - 1) for group in longer
        ]
        before = Layout(model, attention, parts)
        keys_values = before.keys_values(block, x[~layout.is_last])
        found = {(s.prompt, s.start): kv for s, kv in zip(before.spans, keys_values, strict=True)}
    last = Layout(model, attention, [_part(group, group.prompt.length - 1) for group in joined])
    earlier = [found.get((span.prompt, span.start)) for span in last.spans]
    return last.through(block, x[layout.is_last], earlier)
