"""What a training run will be, worked out and checked before anything is computed."""

import math
import re
from dataclasses import dataclass

from sae_lens.config import LoggingConfig, SAETrainerConfig

from relp_sae.errors import InputError
from relp_sae.models import LanguageModel
from relp_sae.models.memory import available_memory
from relp_sae.records import Site
from relp_sae.training.architectures import Shape, architectures
from relp_sae.training.config import TrainingConfig

WARM_UP, DECAY = 0.1, 0.2
"""Shares of the steps in which the learning rate rises (at most 200 steps) and falls."""

LEAST_BATCHES = 8
"""How many batches the buffer must hold, at least: what is left over at its end is dropped."""


AUTOCAST = ("float32", "bfloat16")
"""Types of matrix products; float16 needs a scaled loss, which SAELens' step does not have."""


@dataclass(frozen=True)
class Plan:
    """The numbers that follow from a config and a model; ``block`` is in contexts."""

    site: Site
    shape: Shape
    sparsity: float
    steps: int
    block: int


def planned(model: LanguageModel, config: TrainingConfig) -> Plan:
    """The plan of a training run.

    Raises:
        InputError: a setting that the model, the architecture or the machine cannot have.
    """
    site = Site.parse(config.site)
    model.require_site(site)
    if config.autocast not in AUTOCAST:
        raise InputError(f"--autocast is {config.autocast}; expected one of {', '.join(AUTOCAST)}.")
    steps = config.tokens // config.batch
    if steps < 1:
        raise InputError(
            f"--tokens {config.tokens:,} is less than one batch of {config.batch:,}. Give more "
            "tokens or a smaller --batch-size."
        )
    for name, value in (("lr", config.lr), ("l1", config.l1)):
        if value is not None and not 0 < value < math.inf:
            raise InputError(f"--{name} is {value}; expected a positive number.")
    longest = getattr(model.config, "max_position_embeddings", None)
    if longest is not None and config.context > longest:
        raise InputError(f"{model.name} reads at most {longest} tokens; lower --context to that.")
    if config.buffer < LEAST_BATCHES * config.batch:
        raise InputError(
            f"--buffer {config.buffer:,} is too small to shuffle: give at least {LEAST_BATCHES} "
            f"batches, {LEAST_BATCHES * config.batch:,}."
        )
    d_in = model.width(site)
    shape = Shape(d_in, _features(config.width, d_in), _warm_up(steps))
    sparsity = _sparsity(config, shape.d_sae)
    _require_memory(model, config, shape)
    # A little more than the buffer's rows: some positions of each context are left out.
    rows = _buffered(config)
    return Plan(site, shape, sparsity, steps, -(-rows // (config.context - 1)))


def _features(width: str, d_in: int) -> int:
    found = re.fullmatch(r"(\d+)(x?)", width.strip())
    features = int(found[1]) * (d_in if found[2] else 1) if found else 0
    if not features:
        raise InputError(
            f"Cannot read --width {width}. Give the number of features, such as {8 * d_in}, or a "
            f"multiple of the site's {d_in} dimensions, such as 8x."
        )
    return features


def _sparsity(config: TrainingConfig, d_sae: int) -> float:
    architecture = architectures[config.arch]
    given = {"k": config.k, "l1": config.l1}
    wanted = given.pop(architecture.sparsity)
    for name, value in given.items():
        if value is not None:
            raise InputError(
                f"--{name} does not go with --arch {config.arch}, whose sparsity is decided by "
                f"--{architecture.sparsity}."
            )
    sparsity = float(architecture.default if wanted is None else wanted)
    if architecture.sparsity == "k" and sparsity > d_sae:
        raise InputError(f"--k {sparsity:g} is more than the SAE's {d_sae} features.")
    return sparsity


def _require_memory(model: LanguageModel, config: TrainingConfig, shape: Shape) -> None:
    """Weights, gradients and Adam's two moments; a batch's features six times; the buffer, twice
    while it is joined from its pieces.
    """
    weights = 4 * 2 * shape.d_in * shape.d_sae
    numbers = weights + 6 * config.batch * shape.d_sae + 2 * _buffered(config) * shape.d_in
    needed, free = 4 * numbers, available_memory(model.device)
    if needed > free:
        raise InputError(
            f"Training {shape.d_sae:,} features of {shape.d_in} dimensions needs about "
            f"{needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free on {model.device}. Lower "
            "--width, --batch-size or --buffer."
        )


def _buffered(config: TrainingConfig) -> int:
    """Activations that stand in the buffer: all of a short run's."""
    steps = max(config.tokens // config.batch, LEAST_BATCHES)
    return min(config.buffer, steps * config.batch)


def _warm_up(steps: int) -> int:
    return min(200, int(WARM_UP * steps))


def trainer_config(plan: Plan, config: TrainingConfig, device: str) -> SAETrainerConfig:
    """SAELens' settings: a constant learning rate that rises and falls linearly."""
    return SAETrainerConfig(
        total_training_samples=plan.steps * config.batch,
        train_batch_size_samples=config.batch,
        lr=config.lr,
        lr_end=config.lr,
        lr_warm_up_steps=_warm_up(plan.steps),
        lr_decay_steps=int(DECAY * plan.steps),
        dead_feature_window=min(400, plan.steps),
        device=device,
        autocast=config.autocast == "bfloat16",
        logger=LoggingConfig(log_to_wandb=False),
    )
