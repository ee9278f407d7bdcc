"""PairedRun: a model, its dictionaries, the pairs and the metric - all that a score depends on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from relp_sae.errors import InputError
from relp_sae.metrics.metric import Metric
from relp_sae.models import LanguageModel, forward_order
from relp_sae.models.memory import FreedMemory
from relp_sae.models.products import Products
from relp_sae.records import (
    WHOLE_NODE,
    FeatureScores,
    MeasuredPair,
    PromptPair,
    Site,
    Units,
)
from relp_sae.records.scores import Base, Kind
from relp_sae.run.activations import Activations
from relp_sae.run.measurement import PairBehaviour, answers_and_foils
from relp_sae.run.memory import (
    ACTIVATIONS,
    FREED,
    PREFIXES,
    STEPS,
    WEIGHTS,
    budget_of,
    parse_memory,
)
from relp_sae.run.prefixes import Prefixes
from relp_sae.run.recent import Recent
from relp_sae.run.steps import PairSteps, Seen, pair_steps
from relp_sae.saes import Dictionary, error_terms, require_fit, require_same_model
from relp_sae.tensors import Logits, PerExample, Tokens


@dataclass(frozen=True)
class PairedRun:
    """What every method and every truth is computed from.

    Pairs that the model gets wrong (the foil's logit is above the answer's on the clean prompt)
    are measured but dropped. ``allow_other_model`` is for SAEs that were trained on another model
    and are carried over on purpose. ``error_term`` names what becomes of the error terms of later
    SAEs when a unit is changed (see ``saes.error_term``). ``memory`` ("2GB", or bytes) bounds what
    is kept of the pairs and made by patching, beside the weights; by default it is a quarter of
    what the device has available. docs/engine.md says what it is spent on.

    Raises:
        InputError: no dictionary or pair, a dictionary that does not fit the model or was trained
            on another, no pair that the model gets right, an unknown name, no size, or error terms
            to be held where the units are whole nodes.
    """

    model: LanguageModel
    dictionaries: dict[Site, Dictionary]
    pairs: Sequence[PromptPair]
    metric: Metric
    allow_other_model: bool = False
    error_term: str = "pass-through"
    memory: str | int | None = None

    def __post_init__(self) -> None:
        if not self.dictionaries or not self.pairs:
            raise InputError("A run needs at least one SAE and one prompt pair.")
        parse_memory(self.memory)
        for dictionary in self.dictionaries.values():
            require_fit(dictionary, self.model)
            require_same_model(dictionary, self.model, allow_other=self.allow_other_model)
        for pair in self.pairs:
            self._require_room(pair)
        if self.holds_errors and any(d.remainder == WHOLE_NODE for d in self.dictionaries.values()):
            raise InputError(
                f"The error term '{self.error_term}' is for SAEs: of whole nodes everything is "
                "error, so that nothing would reach a later one. Use pass-through."
            )

    def _require_room(self, pair: PromptPair) -> None:
        config, length = self.model.config, len(pair.clean_ids)
        longest = getattr(config, "max_position_embeddings", length)
        if length > longest:
            raise InputError(
                f"{self.model.name} reads at most {longest} tokens; the prompt {pair.clean!r} "
                f"has {length}."
            )
        largest = max(*pair.clean_ids, *pair.corrupted_ids, pair.answer, pair.foil)
        if largest >= config.vocab_size:
            raise InputError(
                f"{self.model.name} knows the token ids 0 to {config.vocab_size - 1}; the prompt "
                f"{pair.clean!r} has {largest}."
            )

    @cached_property
    def budget(self) -> int:
        """``memory`` in bytes."""
        return budget_of(self.model.device, parse_memory(self.memory))

    def _share(self, share: float) -> int:
        return int(share * self.budget)

    @cached_property
    def freed(self) -> FreedMemory:
        """What was freed while the run was gone through."""
        return FreedMemory(self._share(FREED))

    @property
    def sites(self) -> list[Site]:
        """The sites of the units, in the order of the forward pass."""
        return sorted(self.dictionaries, key=forward_order)

    def held(self, site: Site) -> list[Dictionary]:
        """The dictionaries whose error terms do not follow when a unit at ``site`` is changed."""
        return error_terms[self.error_term](site, self.dictionaries.values())

    @property
    def holds_errors(self) -> bool:
        """Is any error term held? With one SAE none is, whatever ``error_term`` says."""
        return any(self.held(site) for site in self.dictionaries)

    @property
    def recorded(self) -> list[Site]:
        """The sites whose activations are kept: those, and where the dictionaries read."""
        read = {dictionary.reads for dictionary in self.dictionaries.values()}
        return sorted(read | self.dictionaries.keys(), key=forward_order)

    @cached_property
    def activations(self) -> Activations:
        """Both runs of every pair, dropped ones included, in the order of ``pairs``.

        Only the last ones asked for are in memory; the others are run again.
        """
        limit = self._share(ACTIVATIONS)
        return Activations(self.model, self.metric, self.recorded, self.pairs, limit)

    @cached_property
    def products(self) -> Products:
        """The model's weights laid out for the processor."""
        return Products(self._share(WEIGHTS))

    @cached_property
    def prefixes(self) -> Prefixes:
        """What passes over the changed positions of pairs read of those before."""
        first, limit = self.recorded[0].layer, self._share(PREFIXES)
        return Prefixes(self.model, self.products, self.pairs, self.activations, first, limit)

    @cached_property
    def behaviours(self) -> list[PairBehaviour]:
        """The metrics of every pair, and whether the model was right; all of them are kept."""
        found = []
        for pair, seen in enumerate(self.activations):
            found.append(seen.behaviour)
            if not _drop_reason(seen):
                self.steps(pair)  # while the activations are there: if all fit, none is run again
            self.freed.give_back()
        return found

    @cached_property
    def measured(self) -> list[MeasuredPair]:
        """Every pair with its metrics and, if it is dropped, the reason."""
        return [
            MeasuredPair(pair, seen.clean_metric, seen.corrupted_metric, _drop_reason(seen))
            for pair, seen in zip(self.pairs, self.behaviours, strict=True)
        ]

    @cached_property
    def kept(self) -> list[int]:
        """Indices of the pairs that are analysed.

        Raises:
            InputError: the model gets no pair right.
        """
        kept = [index for index, one in enumerate(self.measured) if not one.dropped]
        if not kept:
            raise InputError(
                f"{self.model.name} gets none of the {len(self.pairs)} pairs right, so there is "
                "no behaviour to explain. Use another model or task."
            )
        return kept

    def steps(self, pair: int) -> list[PairSteps]:
        """The steps of one pair at each site, earliest first; of the last pairs they are kept."""
        return self._steps[pair]

    @cached_property
    def _steps(self) -> Recent[list[PairSteps]]:
        activations, pairs = self.activations, self.pairs
        dictionaries = [self.dictionaries[site] for site in self.sites]

        def make(pair: int) -> list[PairSteps]:
            both, start = activations[pair], pairs[pair].first_change
            return [
                pair_steps(one, _seen(one, both.clean), _seen(one, both.corrupted), start)
                for one in dictionaries
            ]

        return Recent(make, lambda steps: sum(one.nbytes for one in steps), self._share(STEPS))

    def units_of(self, pair: int) -> Units:
        """The units of one pair: (site, position, feature), error units last at each position."""
        steps = self.steps(pair)
        return Units(
            pair=np.concatenate([np.full(len(s.pos), pair) for s in steps]),
            site=np.concatenate([np.full(len(s.pos), str(s.site)) for s in steps]),
            pos=torch.cat([s.pos for s in steps]).numpy(),
            feature=torch.cat([s.feature for s in steps]).numpy(),
            delta=torch.cat([s.delta for s in steps]).double().cpu().numpy(),
            relative_step=torch.cat([s.relative for s in steps]).double().cpu().numpy(),
        )

    @cached_property
    def units(self) -> Units:
        """The units of all kept pairs, in the order of every score."""
        parts = [self.units_of(pair) for pair in self.kept]
        return Units(
            **{
                one.name: np.concatenate([getattr(part, one.name) for part in parts])
                for one in fields(Units)
            }
        )

    def prompt_ids(self, pair: int) -> Tokens:
        """The corrupted and the clean prompt of a pair as a batch of two, in this order."""
        prompts = self.pairs[pair]
        ids = [self.model.token_ids(ids) for ids in (prompts.corrupted_ids, prompts.clean_ids)]
        return torch.cat(ids)

    def metric_of(self, pair: int, logits: Logits) -> PerExample:
        """The metric of last logits (batch, vocab) that all belong to one pair."""
        answer, foil = answers_and_foils(self.model, [self.pairs[pair]])
        return self.metric(logits, answer.expand(len(logits)), foil.expand(len(logits)))

    def scores(
        self,
        kind: Kind,
        name: str,
        base: Base,
        score: Sequence[np.ndarray],
        stderr: Sequence[np.ndarray] | None = None,
    ) -> FeatureScores:
        """Scores of the kept pairs' units, one array a pair, as a record; exact without stderr."""
        joined = np.concatenate(list(score)).astype(np.float64)
        noise = np.zeros_like(joined) if stderr is None else np.concatenate(list(stderr))
        return FeatureScores(kind, name, base, self.units, joined, noise)


def _seen(dictionary: Dictionary, x: Mapping[Site, Tensor]) -> Seen:
    return Seen(x[dictionary.reads], x[dictionary.site])


def _drop_reason(seen: PairBehaviour) -> str:
    return "" if seen.clean_right else "the model prefers the foil on the clean prompt"
