"""From the last stream to the metric, with the unembedding rows that the metric reads."""

import torch
from jaxtyping import Float
from torch import Tensor

from relp_sae.run import PairedRun

RUNS = 256
"""Runs whose logits over the whole vocabulary stand in memory at once."""


def metric_at(
    run: PairedRun, pair: int, last: Float[Tensor, "run d_model"]
) -> Float[Tensor, "run"]:
    """The metric of runs of one pair from the stream behind the last block; float64."""
    if run.metric.reads == "vocabulary":
        values = [run.metric_of(pair, run.model.unembed(some)) for some in last.split(RUNS)]
        return torch.cat(values).double().cpu()
    tokens = torch.tensor([run.pairs[pair].answer, run.pairs[pair].foil], device=last.device)
    logits = run.model.unembed(last, tokens)
    answer = torch.zeros(len(last), dtype=torch.int64, device=last.device)
    return run.metric(logits, answer, answer + 1).double().cpu()
