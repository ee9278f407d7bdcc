"""The secant of attention: products by their middles, softmax by the logarithmic mean."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from relp_sae.errors import RunError
from relp_sae.models.family import Role
from relp_sae.rules.rule import Attention, Rule, rules, with_slope_of
from relp_sae.rules.secant.activation import chord
from relp_sae.rules.secant.rows import before, middle

Scores = Float[Tensor, "row head query key"]
"""Attention scores, probabilities, or their logarithms."""


def attention_surrogate(
    query: Tensor, key: Tensor, value: Tensor, attention: Attention, rows: int
) -> Any:
    """softmax(q k) v between the two ends; the family's own outputs are kept.

    Query, key and value have shape (row, head, pos, d_head); with grouped heads, key and value
    have fewer of them.

    Raises:
        RunError: the family's attention is not softmax(scaling q k + mask) v, with or without a
            soft cap, so that this secant would be about another function.
    """
    out, *rest = attention.attend(query.detach(), key.detach(), value.detach())
    groups = query.shape[1] // key.shape[1]
    key, value = (x.repeat_interleave(groups, dim=1) for x in (key, value))
    scores, change = _scores(query, key, attention, rows)
    if attention.mask is not None:
        scores = scores + attention.mask
    log_p = scores.log_softmax(-1)
    pattern = softmax_surrogate(change, log_p, rows)
    p = log_p.exp()
    _require_same(p @ value.detach(), out.transpose(1, 2))
    mixed = pattern @ middle(value, rows) + middle(p, rows) @ value
    return with_slope_of(mixed.transpose(1, 2), out), *rest


def _scores(query: Tensor, key: Tensor, attention: Attention, rows: int) -> tuple[Scores, Scores]:
    """The scores as they are, and a linear stand-in whose slopes are those between the ends."""
    raw = query.detach() @ key.detach().mT * attention.scaling
    change = (query @ middle(key, rows).mT + middle(query, rows) @ key.mT) * attention.scaling
    if attention.softcap is None:
        return raw, change
    cap = attention.softcap
    slope = chord(torch.tanh, before(raw, rows) / cap, raw / cap)
    return cap * torch.tanh(raw / cap), change * slope


def softmax_surrogate(scores: Scores, log_p: Scores, rows: int) -> Scores:
    """d_p = L (d_s - <w, d_s>) with w = L / sum(L), L the logarithmic mean of p_o and p_c."""
    weight = logarithmic_mean(before(log_p, rows), log_p.detach())
    share = weight / weight.sum(-1, keepdim=True)
    return weight * (scores - (share * scores).sum(-1, keepdim=True))


def logarithmic_mean(log_a: Scores, log_b: Scores) -> Scores:
    """(a - b) / (ln a - ln b) from the logarithms; a where they are equal, 0 where either is 0.

    Written as max(a, b) (1 - exp(-r)) / r with r = |ln a - ln b|, which neither overflows nor
    cancels. Source: Carlson 1972, The Logarithmic Mean.
    """
    larger, smaller = torch.maximum(log_a, log_b), torch.minimum(log_a, log_b)
    apart = (larger - smaller).nan_to_num()  # both -inf: the logarithms of masked entries
    share = torch.where(apart > 0, -torch.expm1(-apart) / apart.where(apart > 0, 1), 1)
    return larger.exp() * share


def _require_same(ours: Tensor, theirs: Tensor) -> None:
    if (ours - theirs).abs().max() > 1e-2 * theirs.abs().max():
        raise RunError(
            "The secant rule describes attention as softmax(scaling q k + mask) v; the model "
            "computes something else, so this rule cannot be used on it."
        )


rules.register("secant-attention")(
    Rule(
        Role.ATTENTION,
        attention_surrogate,
        "docs/methods.md, the secant composite",
        two_point=True,
    )
)
