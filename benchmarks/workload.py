"""What the benchmarks patch: a model, its SAE, prompt pairs, and which of the units."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

import relp_sae as rs
from relp_sae.records import PromptPair
from relp_sae.tasks.encoding import encode

MODEL, SAE, TASK, METRIC = "smollm2-135m", "smollm2-135m-topk", "ioi", "logit_diff"

FILLER = " The weather had been mild for some days, and nobody in the town was in a hurry."
"""A sentence that says nothing about who gives what to whom."""

Rows = Int[np.ndarray, "rows"]
"""Indices into the units of a run."""


def embedded_run(pairs: int, device: str = "cpu") -> rs.PairedRun:
    """The embedded model with its bundled SAE on S2-flip IOI pairs; the units are found."""
    model = rs.load_model(MODEL, device=device)
    made = rs.tasks[TASK](model.tokenizer, n=pairs, seed=0)
    run = rs.PairedRun(model, rs.load_saes(SAE, device=device), made, rs.metrics[METRIC])
    if not len(run.units):
        raise ValueError("the two prompts of every pair are the same")
    return run


def remaining(run: rs.PairedRun) -> Int[np.ndarray, "units"]:
    """For each unit, the positions from its own to the last one: those that its patch changes."""
    lengths = np.array([len(run.pairs[pair].clean_ids) for pair in run.units.pair])
    return lengths - run.units.pos


def by_pair(run: rs.PairedRun) -> dict[int, Rows]:
    """The rows of each kept pair's units."""
    return {pair: np.flatnonzero(run.units.pair == pair) for pair in run.kept}


def spread(rows: Rows, count: int) -> Rows:
    """Up to ``count`` of the rows, evenly spread over them: every position has its share."""
    return rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int)]


def some_of_each(run: rs.PairedRun, count: int) -> Rows:
    """Up to ``count`` units of every kept pair, evenly spread; 0: all of them."""
    return np.concatenate([spread(rows, count or len(rows)) for rows in by_pair(run).values()])


def step_vectors(run: rs.PairedRun, rows: Rows) -> Float[Tensor, "rows d_model"]:
    """What each of the units, of a run with one site and in ascending order, adds to the stream."""
    found = []
    for pair, all_rows in by_pair(run).items():
        mine = rows[run.units.pair[rows] == pair]
        (steps,) = run.steps(pair)
        found.append(steps.vectors(torch.from_numpy(mine - all_rows[0])))
    return torch.cat(found)


def typical_pair(run: rs.PairedRun) -> int:
    """The kept pair whose prompt's length is next to the mean."""
    lengths = np.array([len(run.pairs[pair].clean_ids) for pair in run.kept])
    return run.kept[int(np.abs(lengths - lengths.mean()).argmin())]


def lengthened(pair: PromptPair, length: int, tokenizer) -> PromptPair:
    """The pair with neutral text between its first token (BOS) and the rest, ``length`` tokens."""
    extra = length - len(pair.clean_ids)
    sentence = encode(tokenizer, FILLER)[1:]
    filler = (sentence * (extra // len(sentence) + 1))[-extra:] if extra > 0 else ()
    clean, corrupted = (
        (*ids[:1], *filler, *ids[1:]) for ids in (pair.clean_ids, pair.corrupted_ids)
    )
    words = [tokenizer.decode(ids[1:]) for ids in (clean, corrupted)]
    return PromptPair(*words, clean, corrupted, pair.answer, pair.foil)
