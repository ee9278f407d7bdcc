"""Behaviour metrics: pure functions of the last position's logits, one number per example.

A metric is differentiable and does not mix examples: the score of one pair never depends on which
pairs share its batch. This module imports nothing heavy, so that the list loads at once.
"""

from typing import TYPE_CHECKING

from relp_sae.registry import Registry

if TYPE_CHECKING:
    from relp_sae.metrics.metric import Metric

metrics: "Registry[Metric]" = Registry("metric", "relp_sae.metrics")

__all__ = ["metrics"]
