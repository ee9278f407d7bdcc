"""Runs on the tiny models with prompts of any length and any changed positions."""

from collections import Counter
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from relp_sae.models import at_sites
from relp_sae.patching.packed import PackedEngine
from relp_sae.records import PromptPair
from relp_sae.run import PairedRun
from relp_sae.saes import load_saes, spliced

LENGTHS_AND_CHANGES = ((5, (2,)), (8, (0, 4)), (5, (3, 4)), (2, (1,)))
"""Prompts of different lengths, two of one length, changed at the first and at the last token."""


@torch.no_grad()
def random_pair(model, draw, length, changes):
    """Random prompts that differ at ``changes``; the answer is what the clean one prefers."""
    vocab = model.config.vocab_size
    clean = torch.randint(vocab, (length,), generator=draw)
    corrupted = clean.clone()
    for position in changes:
        corrupted[position] += torch.randint(1, vocab, (), generator=draw)
    corrupted %= vocab
    two = torch.randperm(vocab, generator=draw)[:2]
    foil, answer = two[model.last_logits(clean[None])[0, two].argsort()].tolist()
    ids = tuple(clean.tolist()), tuple(corrupted.tolist())
    return PromptPair("clean", "corrupted", *ids, answer, foil)


@pytest.fixture(scope="session")
def tiny_run(load_tiny, make_run, sae_folder):
    """``tiny_run(family, *sites, dtype, pairs, seed)``, ``pairs`` as (length, changed positions).

    ``normalise`` puts a ReLU SAE with SAELens' normalisation of that name at the site instead.
    """

    @cache
    def template(family, sites, dtype, normalise):
        run = make_run(load_tiny(family, dtype), *map(str, sites))
        if normalise is None:
            return run
        (site,) = sites
        folder = sae_folder(str(site), "standard", normalize_activations=normalise)
        return PairedRun(run.model, load_saes(str(folder), dtype=dtype), run.pairs, run.metric)

    def make(family, *sites, dtype="float32", pairs=LENGTHS_AND_CHANGES, normalise=None, seed=0):
        like, draw = template(family, sites, dtype, normalise), torch.Generator().manual_seed(seed)
        drawn = [random_pair(like.model, draw, length, changes) for length, changes in pairs]
        return PairedRun(like.model, like.dictionaries, drawn, like.metric)

    return make


@pytest.fixture(scope="session")
def few_units_run(tiny_run, sae_folder):
    """The same with TopK SAEs of k = 2: at most five units a position.

    By default two pairs with at most ten and five units, two and one positions from the end.
    """

    @cache
    def sae(site, seed, dtype):
        return load_saes(str(sae_folder(site, k=2, seed=seed)), dtype=dtype)

    def make(family, *sites, dtype="float64", pairs=((5, (3,)), (3, (2,))), seed=0):
        run = tiny_run(family, *sites, dtype=dtype, pairs=pairs, seed=seed)
        found = [sae(str(site), i, dtype) for i, site in enumerate(sites)]
        return replace(run, dictionaries={k: v for one in found for k, v in one.items()})

    return make


@pytest.fixture(scope="session")
def spliced_metric():
    """The metric of full forward passes with sets of units moved, one prompt run for each set.

    ``spliced_metric(run, pair, site, members, from_clean=False)``: nothing is restarted or added
    at the site but by `spliced`, which sets features, and the error terms.
    """

    @torch.no_grad()
    def measure(run, pair, site, members, *, from_clean=False):
        prompts, dictionary, seen = run.pairs[pair], run.dictionaries[site], run.activations[pair]
        ids, other = prompts.corrupted_ids, seen.clean[site]
        if from_clean:
            ids, other = prompts.clean_ids, seen.corrupted[site]
        here = seen.clean[site] if from_clean else seen.corrupted[site]
        features = dictionary.encode(other).features
        change = other - here
        error = change - (features - dictionary.encode(here).features) @ dictionary.W_dec
        (steps,) = [one for one in run.steps(pair) if one.site == site]
        units = list(zip(steps.pos.tolist(), steps.feature.tolist(), strict=True))
        values = []
        for row in members:
            chosen = [unit for unit, member in zip(units, row, strict=True) if member]

            def set_features(now, chosen=chosen):
                edited = now.clone()
                for pos, feature in chosen:
                    if feature >= 0:
                        edited[:, pos, feature] = features[pos, feature]
                return edited

            def set_errors(x, chosen=chosen):
                added = torch.zeros_like(x)
                for pos, feature in chosen:
                    if feature < 0:
                        added[:, pos] = error[pos]
                return added

            with (
                spliced(run.model, dictionary, set_features),
                at_sites(run.model, {site: set_errors}),
            ):
                logits = run.model.last_logits(run.model.token_ids(ids))
            values.append(run.metric_of(pair, logits).item())
        return np.array(values)

    return measure


@pytest.fixture
def packs_of():
    """``packs_of(rows)``: a packed engine whose packs have at most so many rows."""

    def make(rows):
        engine = PackedEngine()
        engine.most_rows = rows
        return engine

    return make


@pytest.fixture
def counting_engine():
    """A packed engine that counts the changed runs it is asked for; ``runs``."""

    class CountingEngine(PackedEngine):
        runs = 0

        def changes(self, run, interventions):
            self.runs += sum(len(one.starts) for one in interventions)
            return super().changes(run, interventions)

    return CountingEngine()


@pytest.fixture(scope="session")
def state_of():
    """All of a model that an intervention could leave changed."""

    def read(model):
        hooks = Counter()
        for name, module in model.hf.named_modules():
            for kind, held in vars(module).items():
                if kind.endswith("_hooks") and held:
                    hooks[name, kind] += len(held)
                if kind in ("forward", "_attn"):  # put before the class's own
                    hooks[name, kind] += 1
        weights = list(model.hf.parameters())
        return {
            "weights": model.sha256(),
            "hooks": hooks,
            "requires_grad": [weight.requires_grad for weight in weights],
            "grad": [weight.grad for weight in weights],
            "attention": model.config._attn_implementation,
            "training": [module.training for module in model.hf.modules()],
            "use_cache": model.config.use_cache,
        }

    return read
