"""The shape vocabulary: one name per kind of tensor, checked at run time under pytest."""

from jaxtyping import Float, Int
from torch import Tensor

Tokens = Int[Tensor, "batch pos"]
"""Token ids."""

Resid = Float[Tensor, "*batch pos d_model"]
"""Activations at a site, in the stream's own unit."""

FeatureActs = Float[Tensor, "*batch pos d_sae"]
"""SAE features, scaled so that ``features @ W_dec`` has the stream's unit."""

Decoder = Float[Tensor, "d_sae d_model"]
"""Decoder rows: what one unit of a feature adds to the stream."""

Steps = Float[Tensor, "units d_model"]
"""What each unit adds to the stream when it moves from its corrupted to its clean value."""

Logits = Float[Tensor, "batch vocab"]
"""Logits at the last position."""

PerExample = Float[Tensor, "batch"]
"""One number per example, in the unit of the metric."""

TokenIds = Int[Tensor, "batch"]
"""One token id per example."""
