"""Behaviour metrics: pure functions of the last position's logits, one number per example.

A metric is differentiable and does not mix examples: the score of one pair never depends on which
pairs share its batch.
"""

from collections.abc import Callable

from relp_sae.registry import Registry
from relp_sae.tensors import Logits, PerExample, TokenIds

Metric = Callable[[Logits, TokenIds, TokenIds], PerExample]
"""(logits at the last position, answer, foil) -> one number per example; larger: more answer."""

metrics: Registry[Metric] = Registry("metric", "relp_sae.metrics")

__all__ = ["Metric", "metrics"]
