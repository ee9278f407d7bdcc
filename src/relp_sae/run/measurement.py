"""One pass over the prompt pairs: activations at the sites and the metric, of both runs."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from relp_sae.errors import InputError
from relp_sae.metrics.metric import Metric
from relp_sae.models import LanguageModel, read_sites
from relp_sae.records import PromptPair, Site
from relp_sae.tensors import Logits


@dataclass(frozen=True)
class PairActivations:
    """Activations (pos, d_model) at each site and the behaviour of the two runs of one pair.

    ``clean_right`` and ``corrupted_right`` say whether the answer's logit is above the foil's.
    Before the first changed token the two runs are the same run, so the corrupted activations are
    copied there: float noise must not make units out of structural zeros.
    """

    clean: dict[Site, Float[Tensor, "pos d_model"]]
    corrupted: dict[Site, Float[Tensor, "pos d_model"]]
    clean_metric: float
    corrupted_metric: float
    clean_right: bool
    corrupted_right: bool


@torch.no_grad()
def measure_pair(
    model: LanguageModel, metric: Metric, sites: list[Site], pair: PromptPair
) -> PairActivations:
    """Run both prompts of a pair.

    Raises:
        InputError: the model's metric is not a finite number on this pair.
    """
    clean, clean_logits = _run(model, sites, pair.clean_ids)
    corrupted, corrupted_logits = _run(model, sites, pair.corrupted_ids)
    for site in sites:
        clean[site][: pair.first_change] = corrupted[site][: pair.first_change]
    return PairActivations(
        clean,
        corrupted,
        _finite(metric, clean_logits, pair, model),
        _finite(metric, corrupted_logits, pair, model),
        bool(clean_logits[0, pair.answer] > clean_logits[0, pair.foil]),
        bool(corrupted_logits[0, pair.answer] > corrupted_logits[0, pair.foil]),
    )


def _run(
    model: LanguageModel, sites: list[Site], ids: tuple[int, ...]
) -> tuple[dict[Site, Tensor], Logits]:
    """Activations (pos, d_model) at the sites and the last logits of one prompt."""
    seen, logits = read_sites(model, sites, model.token_ids(ids))
    # A copy, since the two runs are merged before the first changed token.
    return {site: x[0].clone() for site, x in seen.items()}, logits


def _finite(metric: Metric, logits: Logits, pair: PromptPair, model: LanguageModel) -> float:
    value = metric(logits, *answer_and_foil(model, pair)).item()
    if not math.isfinite(value):
        raise InputError(f"{model.name} gives a metric of {value} on the prompt {pair.clean!r}.")
    return value


def answer_and_foil(model: LanguageModel, pair: PromptPair) -> tuple[Tensor, Tensor]:
    """The pair's answer and foil as batches of one on the model's device."""
    return (
        torch.tensor([pair.answer], device=model.device),
        torch.tensor([pair.foil], device=model.device),
    )
