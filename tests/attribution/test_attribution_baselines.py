"""The baselines, each by its definition written out."""

from dataclasses import replace

import numpy as np
import pytest

from relp_sae.attribution import attribute
from relp_sae.records import ERROR_UNIT


@pytest.fixture
def run(model, make_run):
    return make_run(model, "resid_pre.1", "mlp_out.1")


def units_of(run):
    """(pair, dictionary, position, feature, f_clean - f_corrupted, e_clean - e_corrupted)."""
    units = run.units
    dictionaries = {str(site): dictionary for site, dictionary in run.dictionaries.items()}
    for pair, site, pos, feature in zip(
        units.pair, units.site, units.pos, units.feature, strict=True
    ):
        dictionary, seen = dictionaries[site], run.activations[int(pair)]
        clean, corrupted = seen.clean[dictionary.site], seen.corrupted[dictionary.site]
        code_clean, code_corrupted = dictionary.encode(clean), dictionary.encode(corrupted)
        delta = (code_clean.features - code_corrupted.features)[pos, feature]
        rebuilt = dictionary.decode(code_clean) - dictionary.decode(code_corrupted)
        error = (clean - corrupted - rebuilt)[pos]
        yield pair, dictionary, feature, delta, error


def test_delta_norm_is_the_length_of_the_step(run):
    expected = [
        error.norm() if feature == ERROR_UNIT else delta.abs() * dictionary.W_dec[feature].norm()
        for _pair, dictionary, feature, delta, error in units_of(run)
    ]
    found = attribute(run, "delta-norm").score
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert (found >= 0).all()


def test_direct_is_the_step_along_the_unembedding(run):
    head = run.model.hf.get_output_embeddings().weight
    expected = []
    for pair, dictionary, feature, delta, error in units_of(run):
        towards = head[run.pairs[pair].answer] - head[run.pairs[pair].foil]
        step = error if feature == ERROR_UNIT else delta * dictionary.W_dec[feature]
        expected.append((step @ towards).item())
    found = attribute(run, "direct").score
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_direct_goes_through_the_output_projection_from_z(model, make_run):
    run = make_run(model, "z.1")
    head = model.hf.get_output_embeddings().weight
    projection = model.in_block(1, model.family.projection)
    gpt2 = model.config.model_type == "gpt2"
    W_O = projection.weight.T if gpt2 else projection.weight  # (d_model, width)
    expected = []
    for pair, dictionary, feature, delta, error in units_of(run):
        towards = head[run.pairs[pair].answer] - head[run.pairs[pair].foil]
        step = error if feature == ERROR_UNIT else delta * dictionary.W_dec[feature]
        expected.append((W_O @ step @ towards).item())
    found = attribute(run, "direct").score
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_nothing_of_the_mlps_input_goes_straight_to_the_logits(model, make_run):
    run = make_run(model, "mlp_in.1", "mlp_normalized.1")
    assert not attribute(run, "direct").score.any()
    assert attribute(run, "gradient").score.any()


def test_random_is_standard_normal_and_different_for_each_pair(run):
    scores = attribute(run, "random")
    units = len(scores.score)
    assert abs(scores.score.mean()) < 5 / units**0.5
    assert abs(scores.score.std() - 1) < 5 / (2 * units) ** 0.5
    first, second = (scores.score[scores.units.pair == pair][:20] for pair in (0, 1))
    assert not np.isin(first, second).any()


def test_random_of_a_pair_does_not_depend_on_later_pairs(run):
    alone = attribute(replace(run, pairs=run.pairs[:1]), "random").score
    together = attribute(run, "random")
    np.testing.assert_array_equal(together.score[together.units.pair == 0], alone)
