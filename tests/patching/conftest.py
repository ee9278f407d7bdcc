"""Runs on the tiny models with prompts of any length and any changed positions."""

from collections import Counter
from functools import cache

import pytest
import torch

from relp_sae.records import PromptPair
from relp_sae.run import PairedRun
from relp_sae.saes import load_saes

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
def state_of():
    """All of a model that an intervention could leave changed."""

    def read(model):
        hooks = Counter()
        for name, module in model.hf.named_modules():
            for kind, held in vars(module).items():
                if kind.endswith("_hooks") and held:
                    hooks[name, kind] += len(held)
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
