"""The secant rules, step by step: each written out in float64, and exact between its two rows."""

import math
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from transformers.activations import ACT2FN
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from relp_sae.errors import InputError, RunError
from relp_sae.models.family import Norm
from relp_sae.rules import rules
from relp_sae.rules.identity import FACTORS
from relp_sae.rules.rule import Attention
from relp_sae.rules.secant.activation import chord
from relp_sae.rules.secant.attention import logarithmic_mean

D = 8
EPS = 1e-2  # large, so that a forgotten epsilon shows


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def row_jacobian(surrogate, *rows):
    """d surrogate[row 1] / d inputs[row 1]; and no other row may have any say in it."""
    inputs = [x.clone().requires_grad_() for x in rows]
    out = surrogate(*inputs)[1]
    columns = [
        torch.autograd.grad(one, inputs, retain_graph=True, allow_unused=True)
        for one in out.flatten()
    ]
    jacobians = []
    for i, x in enumerate(inputs):
        whole = torch.stack([column[i] for column in columns])
        assert not whole[:, 0].any()
        jacobians.append(whole[:, 1].reshape(*out.shape, *x.shape[1:]))
    return jacobians


def layer_norm():
    module = nn.LayerNorm(D, eps=EPS, dtype=torch.float64)
    module.weight.data, module.bias.data = 1 + noise(D, seed=1), noise(D, seed=2)
    return Norm(centred=True, eps="eps"), module.requires_grad_(False), module


def rms_norm():
    module = LlamaRMSNorm(D, eps=EPS).double()
    module.weight.data = 1 + noise(D, seed=1)

    def exactly(x):  # Hugging Face's own passes through float32
        return module.weight * x * (x.square().mean(-1, keepdim=True) + EPS).rsqrt()

    return Norm(centred=False, eps="variance_epsilon"), module.requires_grad_(False), exactly


@pytest.mark.parametrize("make", [layer_norm, rms_norm])
def test_norm(make):
    norm, module, exactly = make()
    x = 0.5 + noise(2, D)
    x[1] *= 3
    (found,) = row_jacobian(lambda x: rules["secant-norm"].surrogate(x, norm, module, 2), x)
    centring = torch.eye(D, dtype=torch.float64) - norm.centred / D
    corrupted, clean = x @ centring
    s_o, s_c = ((c.square().mean() + EPS).sqrt() for c in (corrupted, clean))
    middle, slope = (corrupted + clean) / 2, (1 / s_c - 1 / s_o) / (s_c**2 - s_o**2)
    written = (1 / s_o + 1 / s_c) / 2 * torch.eye(D, dtype=torch.float64) + slope * torch.outer(
        middle, 2 * middle / D
    )
    expected = module.weight[:, None] * written @ centring
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    change = exactly(x)[1] - exactly(x)[0]
    torch.testing.assert_close(found @ (x[1] - x[0]), change, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", FACTORS)
@pytest.mark.parametrize(
    ("start", "end"), [(-2.0, 1.5), (0.3, 0.3001), (-1e-9, 1e-9), (40.0, -40.0), (1.0, 1.0)]
)
def test_activation(name, start, end):
    x = torch.tensor([[start], [end]], dtype=torch.float64)
    (found,) = row_jacobian(lambda x: rules["secant-activation"].surrogate(x, name, 2), x)
    function = ACT2FN[name]
    corrupted, clean = function(x)
    if start != end and name != "relu":
        quotient = ((clean - corrupted) / (end - start)).item()
        assert found.item() == pytest.approx(quotient, rel=1e-4, abs=1e-6)
    change = found.squeeze() * (end - start)
    torch.testing.assert_close(change, (clean - corrupted).squeeze(), rtol=1e-9, atol=1e-9)


@given(st.floats(-6, 6), st.floats(-1, 1), st.integers(0, 14))
def test_a_chord_goes_over_into_the_tangent(at, apart, power):
    """At any distance the slope is between the extremes of the derivative on the way."""
    start = torch.tensor(at, dtype=torch.float64)
    end = start + apart * 10.0**-power
    slope = chord(torch.tanh, start, end)
    way = torch.linspace(start.item(), end.item(), 101, dtype=torch.float64)
    derivatives = 1 - way.tanh() ** 2
    assert derivatives.min() - 1e-9 <= slope <= derivatives.max() + 1e-9


def test_gate():
    left, right = noise(2, 5), noise(2, 5, seed=1)
    by_left, by_right = row_jacobian(lambda *x: rules["secant-gate"].surrogate(*x, 2), left, right)
    torch.testing.assert_close(by_left, torch.diag(right.mean(0)))
    torch.testing.assert_close(by_right, torch.diag(left.mean(0)))
    predicted = by_left @ (left[1] - left[0]) + by_right @ (right[1] - right[0])
    torch.testing.assert_close(predicted, left[1] * right[1] - left[0] * right[0])


HEADS, KV_HEADS, POS, D_HEAD = 4, 2, 5, 3


def attention_call(softcap, attend=None):
    """Causal attention as the families compute it, in float64 throughout."""
    mask = torch.full((1, 1, POS, POS), -1e30, dtype=torch.float64).triu(1)

    def eager(query, key, value):
        key, value = (x.repeat_interleave(HEADS // KV_HEADS, dim=1) for x in (key, value))
        scores = 0.7 * query @ key.mT
        if softcap:
            scores = softcap * (scores / softcap).tanh()
        pattern = (scores + mask).softmax(-1)
        return (pattern @ value).transpose(1, 2), pattern

    return Attention(attend or eager, mask, 0.7, softcap)


def attention_inputs():
    kv = (2, KV_HEADS, POS, D_HEAD)
    return noise(2, HEADS, POS, D_HEAD), noise(*kv, seed=1), noise(*kv, seed=2)


@pytest.mark.parametrize("softcap", [None, 1.5])
def test_attention_is_exact_between_its_rows(softcap):
    call, inputs = attention_call(softcap), attention_inputs()
    surrogate = partial(rules["secant-attention"].surrogate, rows=2)
    out, pattern = surrogate(*inputs, call)
    expected, expected_pattern = call.attend(*inputs)
    assert torch.equal(out, expected)
    assert torch.equal(pattern, expected_pattern)
    jacobians = row_jacobian(lambda *x: surrogate(*x, call)[0], *inputs)
    predicted = sum(
        torch.tensordot(jacobian, x[1] - x[0], dims=3)
        for jacobian, x in zip(jacobians, inputs, strict=True)
    )
    torch.testing.assert_close(predicted, out[1] - out[0], rtol=1e-10, atol=1e-12)


def test_attention_is_written_out_for_one_head():
    """One query over three keys; every matrix of the chain by itself."""
    q, k, v = noise(2, 1, 1, 2), noise(2, 1, 3, 2, seed=1), noise(2, 1, 3, 4, seed=2)

    def attend(q, k, v):
        pattern = (q @ k.mT).softmax(-1)
        return (pattern @ v).transpose(1, 2), pattern

    call = Attention(attend, None, 1.0, None)
    by_q, by_k, by_v = row_jacobian(
        lambda *x: rules["secant-attention"].surrogate(*x, call, 2)[0], q, k, v
    )
    p_o, p_c = ((q @ k.mT).softmax(-1)[i, 0, 0] for i in (0, 1))
    mean = (p_c - p_o) / (p_c.log() - p_o.log())
    of_softmax = torch.diag(mean) - torch.outer(mean, mean) / mean.sum()
    of_pattern = v[:, 0].mean(0).T @ of_softmax  # d_out / d_scores
    torch.testing.assert_close(by_q[0, 0, :, 0, 0], of_pattern @ k[:, 0].mean(0))
    expected = torch.einsum("ok,d->okd", of_pattern, q[:, 0, 0].mean(0))
    torch.testing.assert_close(by_k[0, 0, :, 0], expected)
    expected = torch.einsum("k,od->okd", (p_o + p_c) / 2, torch.eye(4, dtype=torch.float64))
    torch.testing.assert_close(by_v[0, 0, :, 0], expected)


def test_where_the_rows_coincide_attention_has_its_gradient():
    call = attention_call(1.5)
    inputs = [x[:1].expand(2, *x.shape[1:]).clone().requires_grad_() for x in attention_inputs()]
    upstream = noise(2, POS, HEADS, D_HEAD, seed=5)
    found = torch.autograd.grad(
        rules["secant-attention"].surrogate(*inputs, call, 2)[0], inputs, upstream
    )
    expected = torch.autograd.grad(call.attend(*inputs)[0], inputs, upstream)
    for mine, true in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, true, rtol=1e-9, atol=1e-11)


def test_attention_that_is_something_else_is_refused():
    def louder(query, key, value):
        out, pattern = attention_call(None).attend(query, key, value)
        return 1.1 * out, pattern

    with pytest.raises(RunError, match="computes something else"):
        rules["secant-attention"].surrogate(*attention_inputs(), attention_call(None, louder), 2)


LOGS = st.floats(-200, 0)


@given(LOGS, LOGS)
def test_the_logarithmic_mean(log_a, log_b):
    a, b = torch.tensor(log_a, dtype=torch.float64), torch.tensor(log_b, dtype=torch.float64)
    mean = logarithmic_mean(a[None, None, None, None], b[None, None, None, None]).item()
    low, high = sorted((math.exp(log_a), math.exp(log_b)))
    assert math.sqrt(low * high) * (1 - 1e-12) <= mean <= (low + high) / 2 * (1 + 1e-12)
    if abs(log_a - log_b) > 1e-3:
        assert mean == pytest.approx((high - low) / abs(log_a - log_b), rel=1e-9)
    else:  # the series in r = ln a - ln b
        series = math.sqrt(low * high) * (1 + (log_a - log_b) ** 2 / 24)
        assert mean == pytest.approx(series, rel=1e-12)


@pytest.mark.parametrize("masked", [-math.inf, torch.finfo(torch.float64).min])
def test_masked_entries_have_no_mean(masked):
    both = torch.tensor([masked, -1.0], dtype=torch.float64)[None, None, None]
    assert logarithmic_mean(both, both)[0, 0, 0].tolist() == [0.0, math.exp(-1.0)]


@pytest.mark.parametrize(
    "use",
    [
        lambda x: rules["secant-norm"].surrogate(x, *layer_norm()[:2], 2),
        lambda x: rules["secant-activation"].surrogate(x, "silu", 2),
        lambda x: rules["secant-gate"].surrogate(x, x, 2),
    ],
)
def test_a_single_run_is_refused(use):
    with pytest.raises(InputError, match="takes slopes between two runs, and got a single one"):
        use(noise(1, 3, D))
