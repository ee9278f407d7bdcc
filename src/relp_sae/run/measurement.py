"""Both prompts of some pairs in one pass: activations at the sites, and the metric."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from jaxtyping import Float
from torch import Tensor

from relp_sae.errors import InputError
from relp_sae.metrics.metric import Metric
from relp_sae.models import LanguageModel, read_sites
from relp_sae.records import PromptPair, Site
from relp_sae.tensors import TokenIds


@dataclass(frozen=True)
class PairBehaviour:
    """The metric of the two runs of one pair, in its own unit.

    ``clean_right`` and ``corrupted_right`` say whether the answer's logit is above the foil's.
    """

    clean_metric: float
    corrupted_metric: float
    clean_right: bool
    corrupted_right: bool


@dataclass(frozen=True)
class PairActivations(PairBehaviour):
    """Activations (pos, width) at each site, and the behaviour, of the two runs of one pair.

    Before the first changed token the two runs are the same run, so the corrupted activations are
    copied there: float noise must not make units out of structural zeros.
    """

    clean: dict[Site, Float[Tensor, "pos _"]]
    corrupted: dict[Site, Float[Tensor, "pos _"]]

    @property
    def behaviour(self) -> PairBehaviour:
        """The behaviour alone, which does not hold the activations."""
        return PairBehaviour(**{one.name: getattr(self, one.name) for one in fields(PairBehaviour)})

    @property
    def nbytes(self) -> int:
        """The size of the activations in bytes."""
        return sum(x.nbytes for run in (self.clean, self.corrupted) for x in run.values())


@torch.no_grad()
def measure_pairs(
    model: LanguageModel, metric: Metric, sites: list[Site], pairs: Sequence[PromptPair]
) -> list[PairActivations]:
    """Run both prompts of pairs of equal length as one batch, the clean prompts first.

    Raises:
        InputError: the model's metric is not a finite number on one of the pairs.
    """
    prompts = [*(pair.clean_ids for pair in pairs), *(pair.corrupted_ids for pair in pairs)]
    seen, logits = read_sites(model, sites, torch.cat([model.token_ids(ids) for ids in prompts]))
    # One site after the other, so that what the model made goes as its copy comes.
    merged = {site: _merged(seen.pop(site), pairs) for site in sites}
    answers, foils = answers_and_foils(model, [*pairs, *pairs])
    values = metric(logits, answers, foils).tolist()
    rows = torch.arange(len(prompts), device=logits.device)
    right = (logits[rows, answers] > logits[rows, foils]).tolist()
    return [
        PairActivations(
            clean_metric=_finite(values[clean], pair, model),
            corrupted_metric=_finite(values[corrupted], pair, model),
            clean_right=right[clean],
            corrupted_right=right[corrupted],
            clean={site: x[clean] for site, x in merged.items()},
            corrupted={site: x[corrupted] for site, x in merged.items()},
        )
        for pair, clean, corrupted in zip(
            pairs, range(len(pairs)), range(len(pairs), len(prompts)), strict=True
        )
    ]


def _merged(
    x: Float[Tensor, "prompt pos d_model"], pairs: Sequence[PromptPair]
) -> Float[Tensor, "prompt pos d_model"]:
    """A copy of x in which the two runs of a pair agree before its first changed token."""
    x = x.clone()
    for row, pair in enumerate(pairs):
        x[row, : pair.first_change] = x[len(pairs) + row, : pair.first_change]
    return x


def _finite(value: float, pair: PromptPair, model: LanguageModel) -> float:
    if not math.isfinite(value):
        raise InputError(f"{model.name} gives a metric of {value} on the prompt {pair.clean!r}.")
    return value


def answers_and_foils(
    model: LanguageModel, pairs: Sequence[PromptPair]
) -> tuple[TokenIds, TokenIds]:
    """The answer and the foil of each pair, on the model's device."""
    return (
        torch.tensor([pair.answer for pair in pairs], device=model.device),
        torch.tensor([pair.foil for pair in pairs], device=model.device),
    )
