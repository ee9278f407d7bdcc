"""The model card of a trained SAE."""

from relp_sae.training.architectures import architectures
from relp_sae.training.config import TrainingConfig
from relp_sae.training.quality import Quality


def model_card(config: TrainingConfig, d_sae: int, quality: Quality) -> str:
    """Markdown that says how an SAE was made and how good it is on held-out text."""
    architecture = architectures[config.arch]
    given = config.k if architecture.sparsity == "k" else config.l1
    sparsity = architecture.default if given is None else given
    trained = config.tokens // config.batch * config.batch
    return f"""# {config.arch} SAE of {config.model} at {config.site}

{d_sae} features, {architecture.sparsity} = {sparsity:g}, float16 weights in the SAELens format.
Opens with `SAE.load_from_disk` of SAELens or `relp_sae.load_saes`.

Trained on {trained:,} tokens of {config.data}, contexts of {config.context} tokens, each
document behind the begin-of-sequence token. That token, and tokens whose activation is longer than
ten median norms (punctuation right after it), are left out of training and of the figures below.

    {config.command}

## On {quality.tokens:,} tokens of held-out text ({config.held_out})

| figure | value |
|---|---|
| active features per token (L0) | {quality.l0:.1f} |
| explained variance | {quality.explained_variance:.3f} |
| cross-entropy of the model, nats per token | {quality.cross_entropy:.3f} |
| with the reconstruction in place of x | {quality.cross_entropy_spliced:.3f} |
| with zeros in place of x | {quality.cross_entropy_zero:.3f} |
| cross-entropy recovered | {quality.cross_entropy_recovered:.3f} |
| features never active (dead) | {quality.dead_fraction:.1%} |
| mean norm of x | {quality.mean_norm:.1f} |
| mean norm of its reconstruction | {quality.mean_norm_reconstructed:.1f} |

The curves of training: `training.csv`, `training.png`.
"""
