"""LongRoPE (Phi-3-128k): where what a row computes depends on which others it stands with."""

from relp_sae.models.language_model import LanguageModel


def longrope_limit(model: LanguageModel) -> int | None:
    """The number of tokens beyond which all positions of a pass turn by other frequencies.

    None for a model whose positions turn alike in every pass.
    """
    rope = getattr(model.config, "rope_parameters", None) or {}
    parts = [rope, *(part for part in rope.values() if isinstance(part, dict))]
    limits = [
        part.get("original_max_position_embeddings")
        for part in parts
        if part.get("rope_type") == "longrope"
    ]
    return min((limit for limit in limits if limit), default=None)
