"""Train an SAE with SAELens' trainer on this package's activation stream."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import torch
from sae_lens import TrainingSAE
from sae_lens.config import SAETrainerConfig
from sae_lens.training.sae_trainer import SAETrainer
from torch import Tensor

from relp_sae.errors import InputError
from relp_sae.models import LanguageModel
from relp_sae.models.loading import parse_dtype
from relp_sae.records import Site
from relp_sae.saes import load_saes
from relp_sae.tensors import Tokens
from relp_sae.training.architectures import architectures
from relp_sae.training.card import model_card
from relp_sae.training.config import TrainingConfig
from relp_sae.training.quality import Quality, measure_quality
from relp_sae.training.stream import activation_stream
from relp_sae.training.text import documents, pack

NORM_BATCHES = 32  # batches from which SAELens estimates the scale of the activations


def train_sae(model: LanguageModel, config: TrainingConfig, out: Path) -> Quality:
    """Train, save to ``out`` (a SAELens folder with a model card), and measure on held-out text.

    Raises:
        InputError: ``out`` exists, an unknown architecture or site, or too little text.
    """
    if out.exists():
        raise InputError(f"{out} exists already. Choose another --out, or remove it.")
    site = Site.parse(config.site)
    model.require_site(site)
    d_in = model.width(site)
    d_sae = config.width * d_in
    if config.k > d_sae:
        raise InputError(f"--k {config.k} is more than the SAE's {d_sae} features.")
    longest = getattr(model.config, "max_position_embeddings", config.context)
    if config.context > longest:
        raise InputError(f"{model.name} reads at most {longest} tokens; lower --context to that.")
    held_out = _held_out(model, config)  # before the work, which would be lost
    torch.manual_seed(config.seed)
    sae = architectures[config.arch](d_in, d_sae, config.k)
    sae.cfg.metadata.model_name = config.model
    sae.cfg.metadata.hook_name = site.hook_name
    trainer = SAETrainer(
        _trainer_config(config, str(model.device)), sae, _stream(model, site, config)
    )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=".training-") as scratch:
            trainer.fit()
            folder = Path(scratch) / "sae"
            _save(sae, folder)
            quality = _quality(model, folder, held_out)
            (folder / "README.md").write_text(model_card(config, d_sae, quality), encoding="utf-8")
            figures = json.dumps(quality.as_dict(), indent=1)
            (folder / "quality.json").write_text(figures + "\n", encoding="utf-8")
            shutil.move(folder, out)
    except OSError as error:
        raise InputError(f"Cannot write {out}: {error.strerror or error}.") from error
    return quality


def _stream(model: LanguageModel, site: Site, config: TrainingConfig) -> Iterator[Tensor]:
    """The activation stream, with a clear end when the text is used up too early."""
    contexts = pack(documents(config.data, model, config.seed), model.tokenizer, config.context)
    autocast = parse_dtype(config.autocast)
    stream = activation_stream(model, site, contexts, batch=config.batch, autocast=autocast)
    seen = 0
    for batch in stream:
        seen += len(batch)
        yield batch
    raise InputError(
        f"{config.data} holds text for {seen:,} training tokens (with {NORM_BATCHES} batches to "
        f"estimate the scale), fewer than --tokens {config.tokens:,} asks for. Add text."
    )


def _trainer_config(config: TrainingConfig, device: str) -> SAETrainerConfig:
    steps = config.tokens // config.batch
    if steps < 1:
        raise InputError(f"--tokens {config.tokens} is less than one batch of {config.batch}.")
    return SAETrainerConfig(
        total_training_samples=steps * config.batch,
        train_batch_size_samples=config.batch,
        lr=config.lr,
        lr_end=config.lr,
        lr_warm_up_steps=min(200, steps // 10),
        lr_decay_steps=steps // 5,
        dead_feature_window=min(400, steps),
        device=device,
        n_batches_for_norm_estimate=NORM_BATCHES,
    )


def _save(sae: TrainingSAE, folder: Path) -> None:
    sae.to(dtype=torch.float16)
    sae.cfg.device = "cpu"
    sae.save_inference_model(folder)


def _held_out(model: LanguageModel, config: TrainingConfig) -> list[Tokens]:
    # Generated text needs another seed, or it would be the text that the SAE is trained on.
    text = documents(config.held_out, model, -1 - config.seed)
    contexts = pack(text, model.tokenizer, config.context)
    held_out = list(islice(contexts, max(1, config.held_out_tokens // config.context)))
    if not held_out:
        raise InputError(f"{config.held_out} is shorter than {config.context} tokens.")
    return held_out


def _quality(model: LanguageModel, folder: Path, held_out: list[Tokens]) -> Quality:
    dtype = str(model.dtype).removeprefix("torch.")
    (dictionary,) = load_saes(str(folder), device=str(model.device), dtype=dtype).values()
    return measure_quality(model, dictionary, held_out)
