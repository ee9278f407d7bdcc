"""Train SAEs with SAELens' training step on this package's activation stream."""

from relp_sae.training.architectures import architectures
from relp_sae.training.config import TrainingConfig
from relp_sae.training.quality import Quality, measure_quality
from relp_sae.training.text import documents
from relp_sae.training.trainer import train_sae

__all__ = [
    "Quality",
    "TrainingConfig",
    "architectures",
    "documents",
    "measure_quality",
    "train_sae",
]
