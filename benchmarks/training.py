"""How fast does an SAE train, next to SAELens' own runner and to what its arithmetic has to cost?

    python benchmarks/training.py --data train.jsonl.gz --tokens 40960 --rounds 2

The same model, site, architecture (TopK), batch, buffer, learning rate and number of tokens; the
ways take turns, so that a busy machine slows all of them alike, and the fastest round of each is
shown. A time is that of training: the model is loaded before, and nothing is measured after;
making the SAE, and this package's one checkpoint, are in it. The floor is the forward pass up to
the site and three products forward and backward of encoder and decoder each, at the rate of this
machine's matrix products in that type: the faster of torch.mm and, in float32, oneDNN's product.
The explained variance is that of the trained SAE on activations of held-out text.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import torch
from datasets import Dataset
from floor import gemm_rate, linear_flops, timed
from machine import machine
from sae_lens import (
    LanguageModelSAERunnerConfig,
    LanguageModelSAETrainingRunner,
    LoggingConfig,
    TopKTrainingSAEConfig,
    TrainingSAE,
)
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

import relp_sae as rs
from relp_sae.models import LanguageModel
from relp_sae.records import Site
from relp_sae.training import TrainingConfig
from relp_sae.training.checkpoints import Checkpoints
from relp_sae.training.fit import Fit
from relp_sae.training.plan import planned
from relp_sae.training.stream import TOGETHER, activations_at
from relp_sae.training.text import documents, pack
from relp_sae.training.trainer import fresh_trainer, stream_of, unwatched

HELD_OUT = 64
"""Contexts of the text after the training tokens that explained variance is measured on."""

Train = Callable[[], TrainingSAE]
"""Trains an SAE whose weights have the scale of activations folded in."""


def ours(model: LanguageModel, config: TrainingConfig) -> Train:
    """This package's training loop, with one checkpoint, the last."""

    def text() -> Iterator[str]:
        return documents(config.data, model, config.seed)

    def train() -> TrainingSAE:
        plan = planned(model, config)
        trainer = fresh_trainer(model, config, plan)
        with tempfile.TemporaryDirectory() as folder:
            fit = Fit(
                trainer, stream_of(model, config, plan, text), Checkpoints(Path(folder)), unwatched
            )
            fit.run(every=plan.steps)
        trainer.sae.fold_activation_norm_scaling_factor(trainer.activation_scaler.scaling_factor)
        return trainer.sae

    return train


def sae_lens(model: LanguageModel, config: TrainingConfig) -> Train:
    """SAELens' LanguageModelSAETrainingRunner on TransformerLens' bridge."""
    site, steps = Site.parse(config.site), config.tokens // config.batch
    low = config.autocast == "bfloat16"
    bridge = TransformerBridge.boot_transformers(
        model.config.name_or_path,
        hf_model=rs.load_model(config.model).hf,  # the bridge puts its own parts into the model
        tokenizer=model.tokenizer,
        dtype=model.dtype,
        device=str(model.device),
    )
    text = islice(documents(config.data, model, config.seed), 40 + config.tokens // 200)
    data = Dataset.from_list([{"text": one} for one in text])

    def train() -> TrainingSAE:
        d_in = model.width(site)
        settings = LanguageModelSAERunnerConfig(
            sae=TopKTrainingSAEConfig(
                d_in=d_in,
                d_sae=8 * d_in,
                k=64,
                normalize_activations="expected_average_only_in",
            ),
            hook_name=site.hook_name,
            is_dataset_tokenized=False,
            context_size=config.context,
            n_batches_in_buffer=config.buffer // config.context,
            store_batch_size_prompts=TOGETHER,
            training_tokens=config.tokens,
            train_batch_size_tokens=config.batch,
            n_batches_for_norm_estimate=1,
            lr=config.lr,
            lr_warm_up_steps=min(200, steps // 10),
            lr_decay_steps=steps // 5,
            dead_feature_window=min(400, steps),
            autocast=low,
            autocast_lm=low,
            seed=config.seed,
            device=str(model.device),
            logger=LoggingConfig(log_to_wandb=False),
            checkpoint_path=None,
            output_path=None,
            verbose=False,
        )
        return LanguageModelSAETrainingRunner(
            settings, override_dataset=data, override_model=bridge
        ).run()

    return train


@torch.no_grad()
def explained_variance(sae: TrainingSAE, x: Tensor) -> float:
    """1 - sum|x - x_hat|^2 / sum|x - mean x|^2."""
    left = (x - sae(x)).square().sum() / (x - x.mean(0)).square().sum()
    return 1 - left.item()


def held_out(model: LanguageModel, config: TrainingConfig) -> Tensor:
    """Activations of text behind what the ways train on."""
    packed = pack(documents(config.data, model, config.seed), model.tokenizer, config.context)
    first = 2 * config.tokens // config.context
    ids = torch.cat(list(islice(packed, first, first + HELD_OUT)))
    return activations_at(model, Site.parse(config.site), ids, model.dtype)


def floor_seconds(model: LanguageModel, config: TrainingConfig, rate: float) -> float:
    """Of all linear layers before the site, and of the SAE's products, at ``rate`` FLOP/s."""
    site = Site.parse(config.site)
    forward = sum(map(linear_flops, model.blocks[: site.layer]))
    products = 3 * 2 * (2 * model.d_model * 8 * model.d_model)
    return config.tokens * (forward + products) / rate


def rates(model: LanguageModel, rows: int) -> dict[str, float]:
    """FLOP/s of matrix products by type."""
    found = {"float32": gemm_rate(model, rows)}
    low = rs.load_model(model.name, dtype="bfloat16")
    return {**found, "bfloat16": gemm_rate(low, rows)}


def main() -> None:
    """Let the ways take turns, and print and write one table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--site", default="resid_pre.15")
    parser.add_argument("--tokens", type=int, default=40_960)
    parser.add_argument("--rounds", type=int, default=2)
    asked = parser.parse_args()
    model = rs.load_model(asked.model)
    base = TrainingConfig(
        **{"model": asked.model, "site": asked.site, "data": asked.data, "held_out": asked.data},
        **{"tokens": asked.tokens, "buffer": 8192, "lr": 2e-3},
    )
    x = held_out(model, base)
    ways = {
        (name, dtype): way(model, replace(base, autocast=dtype))
        for dtype in ("float32", "bfloat16")
        for name, way in (("relp-sae", ours), ("SAELens' runner", sae_lens))
    }
    taken: dict[tuple[str, str], list[float]] = {key: [] for key in ways}
    variance = {}
    for _ in range(asked.rounds):
        for key, train in ways.items():
            seconds, sae = timed(train)
            taken[key].append(seconds)
            variance[key] = explained_variance(sae, x)
    gemm = rates(model, TOGETHER * base.context)
    rows = []
    for (name, dtype), times in taken.items():
        seconds = min(times)
        rows.append(
            {
                "way": name,
                "dtype": dtype,
                "tokens_per_second": asked.tokens / seconds,
                "ratio_to_sae_lens": min(taken["SAELens' runner", dtype]) / seconds,
                "share_of_floor": floor_seconds(model, base, gemm[dtype]) / seconds,
                "explained_variance": variance[name, dtype],
            }
        )
    out = Path("benchmarks/out/training.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    found = {"machine": machine("cpu", "float32"), "gemm_flops_per_second": gemm, "ways": rows}
    out.write_text(json.dumps({**vars(asked), **found}, indent=1) + "\n", encoding="utf-8")
    print_table(rows, gemm)


def print_table(rows: list[dict], gemm: dict[str, float]) -> None:
    """Markdown."""
    print("| way | products | tokens/s | / SAELens | floor / time | explained variance |")
    print("| :--- | :--- | ---: | ---: | ---: | ---: |")
    for row in rows:
        print(
            f"| {row['way']} | {row['dtype']} | {row['tokens_per_second']:,.0f} "
            f"| {row['ratio_to_sae_lens']:.2f} | {row['share_of_floor']:.2f} "
            f"| {row['explained_variance']:.3f} |"
        )
    print("\nProducts: " + ", ".join(f"{k} {v / 1e9:.0f} GFLOP/s" for k, v in gemm.items()))


if __name__ == "__main__":
    main()
