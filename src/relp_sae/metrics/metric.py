"""What a metric is."""

from collections.abc import Callable

from relp_sae.tensors import Logits, PerExample, TokenIds

Metric = Callable[[Logits, TokenIds, TokenIds], PerExample]
"""(logits at the last position, answer, foil) -> one number per example; larger: more answer."""
