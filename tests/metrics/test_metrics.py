"""Every metric: one number per example, differentiable, and equal to its formula in NumPy."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax

from relp_sae.metrics import metrics


def logit_diff(logits, answer, foil):
    rows = np.arange(len(logits))
    return logits[rows, answer] - logits[rows, foil]


def answer_logprob(logits, answer, _):
    return log_softmax(logits, axis=1)[np.arange(len(logits)), answer]


FORMULAS = {"logit_diff": logit_diff, "answer_logprob": answer_logprob}


def batch(seed, size=4, vocab=7):
    """Random logits, answers and foils, the last two never equal."""
    generator = torch.Generator().manual_seed(seed)
    logits = 5 * torch.randn(size, vocab, generator=generator, dtype=torch.float64)
    answer = torch.randint(vocab, (size,), generator=generator)
    shift = torch.randint(1, vocab, (size,), generator=generator)
    return logits, answer, (answer + shift) % vocab


def test_every_metric_has_a_formula_here():
    assert set(metrics) == set(FORMULAS)


@pytest.mark.parametrize("name", metrics)
@given(seed=st.integers(0, 10_000), size=st.integers(1, 9), vocab=st.integers(2, 30))
def test_equals_its_formula(name, seed, size, vocab):
    logits, answer, foil = batch(seed, size, vocab)
    value = metrics[name](logits, answer, foil)
    assert value.shape == (size,)
    expected = FORMULAS[name](logits.numpy(), answer.numpy(), foil.numpy())
    np.testing.assert_allclose(value.numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", metrics)
def test_gradient_is_that_of_finite_differences(name):
    logits, answer, foil = batch(seed=0)
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: metrics[name](x, answer, foil), logits)


@pytest.mark.parametrize("name", metrics)
def test_examples_do_not_mix(name):
    logits, answer, foil = batch(seed=1)
    together = metrics[name](logits, answer, foil)
    alone = [metrics[name](logits[i : i + 1], answer[i : i + 1], foil[i : i + 1]) for i in range(4)]
    assert torch.equal(together, torch.cat(alone))


@pytest.mark.parametrize("name", metrics)
def test_more_logit_for_the_answer_is_more(name):
    logits, answer, foil = batch(seed=2)
    raised = logits.clone()
    raised[torch.arange(4), answer] += 1
    assert (metrics[name](raised, answer, foil) > metrics[name](logits, answer, foil)).all()


@pytest.mark.parametrize("name", metrics)
def test_a_constant_added_to_all_logits_changes_nothing(name):
    logits, answer, foil = batch(seed=3)
    torch.testing.assert_close(
        metrics[name](logits + 7, answer, foil), metrics[name](logits, answer, foil)
    )


def test_logit_diff_is_the_difference_of_log_probabilities():
    logits, answer, foil = batch(seed=4)
    log_probs = metrics["answer_logprob"]
    torch.testing.assert_close(
        metrics["logit_diff"](logits, answer, foil),
        log_probs(logits, answer, foil) - log_probs(logits, foil, answer),
    )


def test_extreme_logits_stay_finite():
    logits = torch.tensor([[1e4, -1e4, 0.0]])
    answer, foil = torch.tensor([1]), torch.tensor([0])
    for name in metrics:
        assert metrics[name](logits, answer, foil).item() == -2e4
