"""The packed engine; ``forward.py`` tells how it goes through the model."""

from relp_sae.patching.packed.engine import PackedEngine

__all__ = ["PackedEngine"]
