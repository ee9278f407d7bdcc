"""The shape vocabulary: one name per kind of tensor, checked at run time under pytest."""

from jaxtyping import Float, Int
from torch import Tensor

Tokens = Int[Tensor, "batch pos"]
"""Token ids."""

Resid = Float[Tensor, "*batch pos d_model"]
"""Activations at a site, in the model's own unit. At z the last axis is n_heads * d_head."""

FeatureActs = Float[Tensor, "*batch pos d_sae"]
"""SAE features, scaled so that ``features @ W_dec`` has the unit of the site it writes at."""

Decoder = Float[Tensor, "d_sae d_model"]
"""Decoder rows: what one unit of a feature adds at the site where it writes."""

Steps = Float[Tensor, "units d_model"]
"""What each unit adds at its site when it moves from its corrupted to its clean value."""

Logits = Float[Tensor, "batch vocab"]
"""Logits at the last position."""

PerExample = Float[Tensor, "batch"]
"""One number per example, in the unit of the metric."""

TokenIds = Int[Tensor, "batch"]
"""One token id per example."""
