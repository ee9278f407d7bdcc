"""Exact patching the obvious better way: only the blocks from the site on, many units a batch.

Whole sequences, as a first optimisation of the naive loop would have it: every position of every
run goes through every block, and all rows of the unembedding are computed, at the last position.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor
from workload import Rows, step_vectors

import relp_sae as rs

BATCH = 128


def suffix_loop(run: rs.PairedRun, rows: Rows, batch: int = BATCH) -> Callable[[], np.ndarray]:
    """A function that patches.

    What the packed engine has from the run as well is no part of its time: the steps, and the
    stream of each corrupted prompt at the site.
    """
    (site,), vectors = run.sites, step_vectors(run, rows)
    pairs = {pair: np.flatnonzero(run.units.pair[rows] == pair) for pair in run.kept}
    streams = {p: run.activations[p].corrupted[site] for p, mine in pairs.items() if len(mine)}

    def effects() -> np.ndarray:
        found = np.empty(len(rows))
        for pair, stream in streams.items():
            mine = pairs[pair]
            pos = torch.from_numpy(run.units.pos[rows[mine]]).to(stream.device)
            metric = partial(_metric, run, pair)
            found[mine] = _pair_effects(metric, stream, pos, vectors[mine], batch)
        return found

    return effects


@torch.no_grad()
def _pair_effects(
    metric: Callable[[Tensor], Tensor], stream: Tensor, pos: Tensor, vectors: Tensor, batch: int
) -> np.ndarray:
    """The unchanged run is a row of the first batch: the one to which nothing is added."""
    steps = torch.cat([torch.zeros_like(vectors[:1]), vectors])
    where = torch.cat([pos[:1], pos])
    runs, values = torch.arange(len(steps), device=pos.device), []
    for some in runs.tensor_split(tuple(range(1 + batch, len(runs), batch))):
        x = stream.repeat(len(some), 1, 1)
        x[some - some[0], where[some]] += steps[some]
        values.append(metric(x))
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
