"""What every registered method must do; a new method is tested here by being registered."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from relp_sae.attribution import attribute, methods
from relp_sae.patching import patch, truths
from relp_sae.records import PromptPair
from relp_sae.run import PairedRun

METHODS = list(methods)
NO_ESTIMATES = {"delta-norm", "random"}
"""Baselines that do not even try to be an effect."""
BLIND = NO_ESTIMATES | {"direct"}
"""Baselines that know nothing of the model between the site and the logits."""
ESTIMATES = [name for name in METHODS if name not in NO_ESTIMATES]
SEEING = [name for name in METHODS if name not in BLIND]

ROUNDING = {"gpt2": 1e-8}
FLOAT32_INSIDE = 1e-5
"""Over the largest effect; Hugging Face's Llama casts to float32 in its norms in any dtype."""


def assert_close(found, expected, tolerance):
    assert np.abs(expected).max() > 1e-2
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def closed_form(run, plain):
    """<step, slope> of every unit, which on a linear model is the whole truth."""
    scores = []
    for pair in run.kept:
        ids = torch.tensor([run.pairs[pair].corrupted_ids])
        for steps in run.steps(pair):
            slope = plain.slope(run, pair, ids, steps.site)[0]
            scores.append((steps.vector * slope[steps.pos]).sum(-1))
    return torch.cat(scores).double().numpy()


@pytest.mark.parametrize("truth", list(truths))
def test_truths_of_a_linear_model_have_a_closed_form(linear_run, plain, family, truth):
    run = linear_run(family)
    expected = closed_form(run, plain)
    assert_close(patch(run, truth).score, expected, ROUNDING.get(family, FLOAT32_INSIDE))


@pytest.mark.parametrize("name", SEEING)
def test_is_exact_on_a_linear_model(linear_run, family, name):
    run = linear_run(family)
    truth = patch(run, "denoise").score
    for base in methods[name].bases:
        estimate = attribute(run, name, base=base).score
        assert_close(estimate, truth, ROUNDING.get(family, FLOAT32_INSIDE))


@pytest.mark.parametrize("name", ESTIMATES)
def test_is_exact_where_x_goes_straight_to_the_logits(linear_run, family, name):
    run = linear_run(family, skip_only=True)
    truth = patch(run, "noise").score
    for base in methods[name].bases:
        estimate = attribute(run, name, base=base).score
        assert_close(estimate, truth, ROUNDING.get(family, FLOAT32_INSIDE))


@pytest.mark.parametrize("name", sorted(BLIND))
def test_the_blind_baselines_are_not_exact(linear_run, name):
    """So the two tests above can tell a method from a number that happens to be there."""
    run = linear_run("gpt2")
    truth = patch(run, "denoise").score
    assert np.abs(attribute(run, name).score - truth).max() > 0.1 * np.abs(truth).max()


@pytest.fixture(scope="module")
def twin_run(save_tiny, make_run):
    """A run in which one token is embedded just like the one that replaces it."""
    from relp_sae.models import load_model

    model = load_model(str(save_tiny("gpt2")))
    like = make_run(model, "resid_pre.1", "mlp_out.2")
    with torch.no_grad():
        embedding = model.hf.get_input_embeddings().weight
        embedding[7] = embedding[6]
        clean = (0, 3, 6, 9, 6, 2)
        logits = model.last_logits(model.token_ids(clean))[0]
    answer, foil = int(logits.argmax()), int(logits.argmin())
    pairs = [
        PromptPair("clean", "corrupted", clean, corrupted, answer, foil)
        for corrupted in ((0, 3, 7, 9, 7, 2), (0, 3, 7, 9, 5, 2))
    ]
    return PairedRun(model, like.dictionaries, pairs, like.metric)


def test_what_does_not_change_is_no_unit(twin_run):
    """The tokens differ from position 2 on, the activations only from position 4 on."""
    pairs = twin_run.pairs
    assert [pair.first_change for pair in pairs] == [2, 2]
    assert set(zip(twin_run.units.pair, twin_run.units.pos, strict=True)) == {(1, 4), (1, 5)}
    assert twin_run.units.delta.all()


@pytest.mark.parametrize("name", METHODS)
def test_what_does_not_change_has_no_score(twin_run, name):
    nothing = replace(twin_run, pairs=twin_run.pairs[:1])
    for base in methods[name].bases:
        assert attribute(nothing, name, base=base).score.shape == (0,)
        assert attribute(twin_run, name, base=base).score.shape == (len(twin_run.units),)


@pytest.mark.parametrize("name", METHODS)
def test_an_estimate_is_a_record_of_the_runs_units(paired_run, name):
    for base in methods[name].bases:
        estimate = attribute(paired_run, name, base=base)
        assert (estimate.kind, estimate.name, estimate.base) == ("estimate", name, base)
        assert estimate.units is paired_run.units
        assert len(estimate.score) == len(estimate.stderr) == len(paired_run.units)
        assert np.isfinite(estimate.score).all()
        assert estimate.score.any()
    assert attribute(paired_run, name).base == methods[name].bases[0]


@pytest.mark.parametrize("name", METHODS)
def test_the_same_twice(paired_run, name):
    first = attribute(paired_run, name).score
    np.random.seed(1)
    torch.manual_seed(1)
    np.testing.assert_array_equal(attribute(paired_run, name).score, first)


@pytest.mark.parametrize("name", [name for name in METHODS if name != "random"])
def test_other_sites_and_pairs_do_not_matter(load_tiny, make_run, family, name):
    """A run of several sites and pairs gives each unit the score that it has alone."""
    sites = ("resid_pre.0", "attn_out.1", "resid_mid.1", "mlp_out.2")
    together = make_run(load_tiny(family, "float64"), *sites)
    scores = attribute(together, name)
    largest = np.abs(scores.score).max()
    for site, dictionary in together.dictionaries.items():
        for pair in together.kept:
            one_site = replace(
                together, dictionaries={site: dictionary}, pairs=[together.pairs[pair]]
            )
            here = (scores.units.site == str(site)) & (scores.units.pair == pair)
            alone = attribute(one_site, name).score
            assert alone.any()
            tolerance = ROUNDING.get(family, FLOAT32_INSIDE) * largest
            np.testing.assert_allclose(scores.score[here], alone, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", METHODS)
def test_leaves_the_model_as_it_was(paired_run, state_of, name):
    model = paired_run.model
    ids = torch.tensor([paired_run.pairs[0].clean_ids])
    before, logits = state_of(model), model.last_logits(ids)
    for base in methods[name].bases:
        attribute(paired_run, name, base=base)
    assert state_of(model) == before
    assert torch.equal(model.last_logits(ids), logits)


@pytest.mark.parametrize("name", SEEING)
def test_a_failure_leaves_the_model_as_it_was(paired_run, state_of, name):
    model = paired_run.model
    assert paired_run.kept  # measured before the failure
    before = state_of(model)

    def fail(_module, _args):
        raise RuntimeError("out of memory")

    handle = model.blocks[-1].register_forward_pre_hook(fail)
    try:
        with pytest.raises(RuntimeError, match="out of memory"):
            attribute(paired_run, name)
    finally:
        handle.remove()
    assert state_of(model) == before


@pytest.mark.parametrize("name", METHODS)
def test_works_where_gradients_are_switched_off(paired_run, name):
    """Notebooks often begin with torch.set_grad_enabled(False)."""
    expected = attribute(paired_run, name).score
    with torch.no_grad():
        np.testing.assert_array_equal(attribute(paired_run, name).score, expected)
        assert not torch.is_grad_enabled()


def test_dropped_pairs_are_not_scored(paired_run):
    first = paired_run.pairs[0]
    wrong = replace(first, answer=first.foil, foil=first.answer)
    partly = replace(paired_run, pairs=[wrong, *paired_run.pairs[1:]])
    scores = attribute(partly, "gradient")
    assert set(scores.units.pair.tolist()) == {1, 2}
    whole = attribute(paired_run, "gradient")
    expected = whole.score[whole.units.pair > 0]
    np.testing.assert_allclose(scores.score, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_progress_sees_every_kept_pair(paired_run):
    seen = []

    def watch(pairs):
        for pair in pairs:
            seen.append(pair)
            yield pair

    attribute(paired_run, "direct", progress=watch)
    assert seen == paired_run.kept
