"""Exact patching the obvious better way: only the blocks from the site on, many units a batch.

Whole sequences, as a first optimisation of the naive loop would have it: every position of every
run goes through every block, and all rows of the unembedding are computed, at the last position.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from workload import Rows, step_vectors

import relp_sae as rs
from relp_sae.models import read_sites

BATCH = 128


def suffix_loop(run: rs.PairedRun, rows: Rows, batch: int = BATCH) -> Callable[[], np.ndarray]:
    """A function that patches; the corrupted run is a part of its time, the steps are not."""
    vectors = step_vectors(run, rows)
    pairs = {pair: np.flatnonzero(run.units.pair[rows] == pair) for pair in run.kept}

    def effects() -> np.ndarray:
        found = np.empty(len(rows))
        for pair, mine in pairs.items():
            if len(mine):
                pos = run.units.pos[rows[mine]]
                found[mine] = _pair_effects(run, pair, pos, vectors[mine], batch)
        return found

    return effects


@torch.no_grad()
def _pair_effects(
    run: rs.PairedRun, pair: int, pos: np.ndarray, vectors: Tensor, batch: int
) -> np.ndarray:
    (site,) = run.sites
    seen, _ = read_sites(run.model, [site], run.prompt_ids(pair)[:1])
    base = seen[site]
    where = torch.from_numpy(pos).to(base.device)
    values = [_metric(run, pair, base)]
    for units in torch.arange(len(where), device=base.device).split(batch):
        x = base.repeat(len(units), 1, 1)
        x[units - units[0], where[units]] += vectors[units]
        values.append(_metric(run, pair, x))
    joined = torch.cat(values).double().cpu().numpy()
    return joined[1:] - joined[0]


def _metric(run: rs.PairedRun, pair: int, x: Tensor) -> Tensor:
    """The metric of runs whose stream (run, pos, d_model) at the site is ``x``."""
    (site,) = run.sites
    length = x.shape[1]
    positions = torch.arange(length, device=x.device)[None]
    hidden_by = torch.full((length, length), torch.finfo(x.dtype).min, dtype=x.dtype)
    mask = hidden_by.triu(1).to(x.device)[None, None]
    rotary = run.model.hf.base_model.rotary_emb(x, positions)
    for block in run.model.blocks[site.layer :]:
        x = block(x, attention_mask=mask, position_ids=positions, position_embeddings=rotary)
    return run.metric_of(pair, run.model.unembed(x[:, -1]))
