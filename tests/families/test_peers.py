"""Scores equal those that TransformerLens' bridge and SAELens' splice give, written out here."""

import copy
import warnings
from functools import partial

import numpy as np
import pytest
import torch

from relp_sae.attribution import attribute
from relp_sae.patching import patch


@pytest.fixture(params=["gpt2", "llama"])
def run(request, load_tiny, make_run):
    """A run with a TopK SAE at resid_pre.1."""
    return make_run(load_tiny(request.param), "resid_pre.1")


@pytest.fixture
def bridge(run):
    """The SAE in TransformerLens' model, with its error term, and the names of their hooks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what TransformerLens says when it is imported
        from sae_lens.analysis.sae_transformer_bridge import SAETransformerBridge

        (dictionary,) = run.dictionaries.values()
        model = SAETransformerBridge.boot_transformers(
            run.model.config.name_or_path,
            hf_model=copy.deepcopy(run.model.hf),  # the bridge puts its own parts into the model
            tokenizer=run.model.tokenizer,
            dtype=run.model.dtype,
            device="cpu",
        )
        sae = copy.deepcopy(dictionary.sae)
        model.add_sae(sae, use_error_term=True)
    return model, model.get_sae_hook_name(sae), model.get_sae_hook_name(sae, "hook_sae_error")


def metric(run, pair, logits):
    """logit(answer) - logit(foil) at the last position."""
    answer, foil = run.pairs[pair].answer, run.pairs[pair].foil
    return logits[0, -1, answer] - logits[0, -1, foil]


def set_to(x, hook, value, at):  # noqa: ARG001 - TransformerLens names it
    x = x.clone()
    x[at] = value
    return x


def units(run, pair):
    """(row among all units, where the unit is in its hook's activation, whether it is the error)"""
    for row in np.flatnonzero(run.units.pair == pair):
        pos, feature = int(run.units.pos[row]), int(run.units.feature[row])
        yield row, (0, pos, feature if feature >= 0 else slice(None)), feature < 0


@torch.no_grad()
def test_exact_patching_is_that_of_the_bridge(run, bridge):
    model, features, error = bridge
    found = patch(run, "denoise").score
    expected = np.full(len(found), np.nan)
    for pair in run.kept:
        corrupted, clean = (ids[None] for ids in run.prompt_ids(pair))
        _, seen = model.run_with_cache(clean, names_filter=[features, error])
        base = metric(run, pair, model(corrupted))
        for row, at, is_error in units(run, pair):
            name = error if is_error else features
            hook = partial(set_to, value=seen[name][at], at=at)
            logits = model.run_with_hooks(corrupted, fwd_hooks=[(name, hook)])
            expected[row] = metric(run, pair, logits) - base
    largest = np.abs(expected).max()
    assert largest > 0.1
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * largest)


def test_gradients_are_those_of_the_bridge(run, bridge):
    """delta times the slope of what SAELens' splice adds: its reconstruction and its error."""
    model, features, error = bridge
    found = attribute(run, "gradient").score
    expected = np.full(len(found), np.nan)
    (dictionary,) = run.dictionaries.values()
    for pair in run.kept:
        corrupted, clean = (ids[None] for ids in run.prompt_ids(pair))
        with torch.no_grad():
            _, new = model.run_with_cache(clean, names_filter=[features, error])
            _, old = model.run_with_cache(corrupted, names_filter=[features, error])
        leaf = old[error].clone().requires_grad_()
        logits = model.run_with_hooks(
            corrupted,
            fwd_hooks=[(error, lambda x, hook, leaf=leaf: leaf)],  # noqa: ARG005
        )
        (slope,) = torch.autograd.grad(metric(run, pair, logits), leaf)
        along = slope @ dictionary.W_dec.T  # the decoder is linear
        for row, at, is_error in units(run, pair):
            change = (
                new[error if is_error else features][at] - old[error if is_error else features][at]
            )
            expected[row] = ((slope if is_error else along)[at] * change).sum().item()
    largest = np.abs(expected).max()
    assert largest > 0.1
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * largest)
