"""Train an SAE with SAELens' training step on this package's activation stream."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from sae_lens.training.sae_trainer import SAETrainer

from relp_sae.errors import InputError
from relp_sae.models import LanguageModel
from relp_sae.models.loading import parse_dtype
from relp_sae.training.architectures import architectures
from relp_sae.training.checkpoints import Checkpoints
from relp_sae.training.config import TrainingConfig
from relp_sae.training.fit import Fit
from relp_sae.training.held_out import HeldOut, read_held_out
from relp_sae.training.history import Row, Watch
from relp_sae.training.plan import Plan, planned, trainer_config
from relp_sae.training.publishing import publish
from relp_sae.training.quality import Quality
from relp_sae.training.stream import ActivationStream
from relp_sae.training.text import documents


def unwatched(_row: Row) -> None:
    """Shows nothing of a training run."""


def train_sae(
    model: LanguageModel,
    config: TrainingConfig,
    out: Path,
    *,
    checkpoint_every: int = 200,
    watch: Watch = unwatched,
) -> Quality:
    """Train, save to ``out`` (a SAELens folder with a model card), and measure on held-out text.

    While it works, ``OUT.training`` holds a checkpoint, written every ``checkpoint_every`` steps.
    Called again with the same config it goes on from there and ends with the same weights.
    Documents of the held-out text are left out of the training text, so that both may be one
    source.

    Raises:
        InputError: ``out`` exists, a setting that cannot be, too little text, or no disk space.
        RunError: training diverged.
    """
    if out.exists():
        raise InputError(f"{out} exists already. Choose another --out, or remove it.")
    plan = planned(model, config)
    held_out = read_held_out(model, config)  # before the work, which would be lost
    trainer = fresh_trainer(model, config, plan)
    checkpoints = Checkpoints.of(out, config, model)
    try:
        text = partial(_training_text, model, config, held_out)
        fit = Fit(trainer, stream_of(model, config, plan, text), checkpoints, watch)
        fit.position, fit.history = checkpoints.load(trainer)
        fit.run(checkpoint_every)
        quality = publish(trainer, model, config, fit.history, held_out.contexts, out)
    except BaseException:
        if checkpoints.latest() is None:
            checkpoints.remove()
        raise
    checkpoints.remove()
    return quality


def fresh_trainer(model: LanguageModel, config: TrainingConfig, plan: Plan) -> SAETrainer:
    """An untrained SAE with SAELens' trainer, whose data come from elsewhere."""
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        sae = architectures[config.arch].build(plan.shape, plan.sparsity)
    sae.cfg.metadata.model_name = config.model
    sae.cfg.metadata.hook_name = plan.site.hook_name
    settings = trainer_config(plan, config, str(model.device))
    return SAETrainer(settings, sae.to(model.device), iter(()))


def stream_of(
    model: LanguageModel, config: TrainingConfig, plan: Plan, text: Callable[[], Iterator[str]]
) -> ActivationStream:
    """The activations that an SAE is trained on; ``text`` starts the documents anew."""
    return ActivationStream(
        model=model,
        site=plan.site,
        documents=text,
        context=config.context,
        block=plan.block,
        autocast=parse_dtype(config.autocast),
        seed=config.seed,
    )


def _training_text(
    model: LanguageModel, config: TrainingConfig, held_out: HeldOut
) -> Iterator[str]:
    return held_out.others(documents(config.data, model, config.seed))
