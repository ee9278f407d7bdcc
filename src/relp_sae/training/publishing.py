"""From a trained SAE to a folder that SAELens and this package open."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from sae_lens import TrainingSAE
from sae_lens.training.sae_trainer import SAETrainer

from relp_sae.errors import RunError
from relp_sae.models import LanguageModel
from relp_sae.saes import Dictionary, load_saes
from relp_sae.tensors import Tokens
from relp_sae.training.card import model_card
from relp_sae.training.checkpoints import writing
from relp_sae.training.config import TrainingConfig
from relp_sae.training.history import Row, draw, table
from relp_sae.training.quality import Quality, measure_quality


def publish(
    trainer: SAETrainer,
    model: LanguageModel,
    config: TrainingConfig,
    history: Sequence[Row],
    held_out: Sequence[Tokens],
    out: Path,
) -> Quality:
    """Write the SAE, measure what was written, and let ``out`` appear with all of it.

    Raises:
        InputError: ``out`` cannot be written.
        RunError: the weights are not finite in float16.
    """
    sae = trainer.sae
    sae.fold_activation_norm_scaling_factor(trainer.activation_scaler.scaling_factor)
    with (
        writing(out),
        tempfile.TemporaryDirectory(dir=out.parent, prefix=".publishing-") as scratch,
    ):
        folder = Path(scratch) / "sae"
        _save(sae, folder)
        quality = measure_quality(model, _reopened(folder, model), held_out)
        figures = json.dumps(quality.as_dict(), indent=1)
        (folder / "quality.json").write_text(figures + "\n", encoding="utf-8")
        card = model_card(config, sae.cfg.d_sae, quality)
        (folder / "README.md").write_text(card, encoding="utf-8")
        table(history).to_csv(folder / "training.csv", index=False, float_format="%.6g")
        draw(history, folder / "training.png")
        folder.rename(out)
    return quality


def _save(sae: TrainingSAE, folder: Path) -> None:
    sae.to(dtype=torch.float16)
    if not all(weight.isfinite().all() for weight in sae.parameters()):
        raise RunError(
            "The trained weights are not finite in float16: training diverged. Remove the folder "
            "of the checkpoint, OUT.training, and train again with a lower --lr."
        )
    sae.cfg.device = "cpu"
    sae.save_inference_model(folder)


def _reopened(folder: Path, model: LanguageModel) -> Dictionary:
    dtype = str(model.dtype).removeprefix("torch.")
    (dictionary,) = load_saes(str(folder), device=str(model.device), dtype=dtype).values()
    return dictionary
