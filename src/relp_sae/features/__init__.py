"""What the strongest features of a run mean: what they fire on, and which tokens they promote."""

from relp_sae.features.cards import CardSettings, feature_cards
from relp_sae.features.inputs import require_features

__all__ = ["CardSettings", "feature_cards", "require_features"]
