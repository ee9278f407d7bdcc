"""Every rule's slope against its formula, written a second time as matrix algebra in float64."""

import math

import pytest
import torch
from scipy.stats import norm as normal
from torch import nn
from transformers.activations import ACT2FN
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from relp_sae.errors import InputError
from relp_sae.models.family import Norm, Role
from relp_sae.rules import rules, with_slope_of
from relp_sae.rules.identity import FACTORS
from relp_sae.rules.rule import Attention

D = 8
EPS = 1e-3  # large, so that a forgotten epsilon shows


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def jacobian(function, *x):
    return torch.autograd.functional.jacobian(function, x)


def layer_norm():
    module = nn.LayerNorm(D, eps=EPS, dtype=torch.float64)
    module.weight.data, module.bias.data = 1 + noise(D, seed=1), noise(D, seed=2)
    return Norm(centred=True, eps="eps"), module.requires_grad_(False)


def rms_norm():
    module = LlamaRMSNorm(D, eps=EPS).double()
    module.weight.data = 1 + noise(D, seed=1)
    return Norm(centred=False, eps="variance_epsilon"), module.requires_grad_(False)


def gemma_norm():
    module = GemmaRMSNorm(D, eps=EPS).double()
    module.weight.data = noise(D, seed=1)
    return Norm(centred=False, eps="eps", offset=1.0), module.requires_grad_(False)


@pytest.mark.parametrize("make", [layer_norm, rms_norm, gemma_norm])
def test_ln_rule_is_diag_w_times_centring_over_a_constant_scale(make):
    norm, module = make()
    x = 0.5 + noise(D)
    centring = torch.eye(D, dtype=torch.float64) - norm.centred / D
    scale = ((centring @ x).square().sum() / D + EPS) ** -0.5
    weight = module.weight + (make is gemma_norm)
    expected = weight[:, None] * centring * scale
    (found,) = jacobian(lambda x: rules["ln"].surrogate(x, norm, module), x)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)
    (true,) = jacobian(module, x)
    assert (true - expected).abs().max() > 0.1  # the rule is no longer the derivative
    # The surrogate is the norm itself, less a bias; Llama's own passes through float32.
    value = rules["ln"].surrogate(x, norm, module) + getattr(module, "bias", 0)
    torch.testing.assert_close(value, module(x), rtol=1e-6, atol=1e-6)


def test_ln_rule_acts_at_each_position_alone():
    norm, module = layer_norm()
    (found,) = jacobian(lambda x: rules["ln"].surrogate(x, norm, module), noise(1, 3, D))
    for at in range(3):
        for other in set(range(3)) - {at}:
            assert not found[0, at, :, 0, other].any()
        assert found[0, at, :, 0, at].any()


def gelu_tanh(x):
    return 0.5 * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


TEXTBOOK_FACTORS = {
    "gelu": normal.cdf,
    "gelu_new": gelu_tanh,
    "gelu_pytorch_tanh": gelu_tanh,
    "silu": lambda x: 1 / (1 + math.exp(-x)),
    "swish": lambda x: 1 / (1 + math.exp(-x)),
    "tanh": lambda x: math.tanh(x) / x,
    "relu": lambda x: float(x > 0),
}

POINTS = [-30.0, -6.0, -1.7, -0.3, -1e-6, -1e-12, 1e-12, 1e-6, 0.2, 1.0, 4.0, 25.0]


def identity_slope(x, name):
    x = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    y = rules["identity"].surrogate(x, name)
    (slope,) = torch.autograd.grad(y, x)
    return y.item(), slope.item()


@pytest.mark.parametrize("name", FACTORS)
@pytest.mark.parametrize("x", POINTS)
def test_identity_rule_is_the_function_over_its_input(name, x):
    value, slope = identity_slope(x, name)
    activation = ACT2FN[name](torch.tensor(x, dtype=torch.float64)).item()
    assert slope == pytest.approx(TEXTBOOK_FACTORS[name](x), rel=1e-9, abs=1e-15)
    # Far out on the left the tanh form cancels: 1 + tanh(-16) has one or two digits.
    assert slope == pytest.approx(activation / x, rel=1e-6, abs=1e-9)
    assert value == pytest.approx(activation, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("name", FACTORS)
def test_identity_rule_at_exactly_zero_is_the_limit(name):
    x = torch.zeros((), dtype=torch.float64, requires_grad=True)
    (derivative,) = torch.autograd.grad(ACT2FN[name](x), x)
    value, slope = identity_slope(0.0, name)
    assert value == 0
    assert slope == derivative.item()  # f(x)/x -> f'(0), since f(0) = 0
    assert slope == {"relu": 0, "tanh": 1}.get(name, 0.5)


@pytest.mark.parametrize("name", FACTORS)
def test_identity_rule_stays_finite_far_out(name):
    for x in (-1e4, 1e4):
        value, slope = identity_slope(x, name)
        assert math.isfinite(value)
        assert slope == (1e-4 if name == "tanh" else 1.0 if x > 0 else 0.0)


def test_identity_rule_of_an_unknown_activation():
    with pytest.raises(InputError, match=r"for the activation 'gleu'\. Did you mean 'gelu'\?"):
        rules["identity"].surrogate(torch.ones(2), "gleu")


def test_half_rule_gives_each_branch_half_of_its_true_slope():
    left, right = noise(5), noise(5, seed=1)
    by_left, by_right = jacobian(rules["half"].surrogate, left, right)
    torch.testing.assert_close(by_left, torch.diag(right) / 2, rtol=1e-14, atol=0)
    torch.testing.assert_close(by_right, torch.diag(left) / 2, rtol=1e-14, atol=0)
    torch.testing.assert_close(rules["half"].surrogate(left, right), left * right)
    # Relevance (slope times input) is kept: one half by each way.
    total = by_left @ left + by_right @ right
    torch.testing.assert_close(total, left * right)


def attention(query, key, value):
    """Causal attention of one head: (pos, d) each."""
    future = torch.ones(len(query), len(query), dtype=torch.bool).triu(1)
    scores = (query @ key.T / math.sqrt(query.shape[1])).masked_fill(future, -math.inf)
    return scores.softmax(-1) @ value


def test_ah_rule_is_the_transposed_pattern_on_values_and_nothing_else():
    query, key, value, upstream = (noise(4, 3, seed=seed) for seed in range(4))
    inputs = [x.requires_grad_() for x in (query, key, value)]
    out = rules["ah"].surrogate(*inputs, Attention(attention, None, 3**-0.5, None))
    assert torch.equal(out, attention(*inputs))
    by_query, by_key, by_value = torch.autograd.grad(out, inputs, upstream, allow_unused=True)
    assert by_query is None
    assert by_key is None
    pattern = attention(query, key, torch.eye(4, dtype=torch.float64)).detach()
    torch.testing.assert_close(by_value, pattern.T @ upstream, rtol=1e-12, atol=1e-15)


FORMULAS = {"ln", "identity", "half", "ah"}
SECANT = {"secant-norm", "secant-activation", "secant-gate", "secant-attention"}
"""Written out in test_secant_rules.py."""


@pytest.mark.parametrize("name", rules)
def test_every_rule_has_its_formula_in_this_file_and_says_its_source(name):
    assert name in FORMULAS | SECANT, (
        "write the rule's slope as matrix algebra above, and name it here"
    )
    assert rules[name].role in Role
    assert rules[name].source


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_value_is_kept_bit_for_bit_and_the_slope_is_the_surrogates(dtype):
    x = noise(3, 4).to(dtype).requires_grad_()
    value, upstream = noise(3, 4, seed=1).to(dtype), noise(3, 4, seed=2).to(dtype)
    kept = with_slope_of(3 * x, value)
    assert torch.equal(kept, value)
    assert kept.data_ptr() != value.data_ptr()
    assert torch.equal(torch.autograd.grad(kept, x, upstream)[0], 3 * upstream)


def test_no_slope_reaches_the_value():
    x, y = noise(3).requires_grad_(), noise(3, seed=1).requires_grad_()
    by_value = torch.autograd.grad(with_slope_of(2 * x, y * y).sum(), [x, y], allow_unused=True)
    assert by_value[1] is None
    assert torch.equal(by_value[0], torch.full((3,), 2.0, dtype=torch.float64))


def test_a_surrogate_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="surrogate has shape"):
        with_slope_of(noise(3), noise(2))
