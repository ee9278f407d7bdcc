"""The training loop: SAELens' training step on blocks of activations."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from sae_lens.saes.sae import TrainStepOutput
from sae_lens.training.sae_trainer import SAETrainer
from torch import Tensor

from relp_sae.errors import InputError, RunError
from relp_sae.training.checkpoints import Checkpoints, Position
from relp_sae.training.history import Row, Watch
from relp_sae.training.stream import ActivationStream, Block

ROWS = 200
"""How many rows the history of a whole run has, about."""


@dataclass
class Fit:
    """A training run on its way: the trainer, where it is in the stream, and what it has seen."""

    trainer: SAETrainer
    stream: ActivationStream
    checkpoints: Checkpoints
    watch: Watch
    position: Position = field(default_factory=Position)
    history: list[Row] = field(default_factory=list)

    def run(self, every: int) -> None:
        """Train to the end, with a checkpoint after every ``every`` steps and the last.

        Raises:
            InputError: the text ends too early, or a checkpoint cannot be written.
            RunError: the loss is no finite number.
        """
        trainer, steps = self.trainer, self.trainer.cfg.total_training_steps
        trainer.sae.to(trainer.cfg.device)
        saved, rows = trainer.n_training_steps, max(1, steps // ROWS)
        if saved == steps:
            return
        for batch in self._batches():
            output = trainer.step(batch)
            trainer.n_training_steps += 1
            step = trainer.n_training_steps
            if not torch.isfinite(output.loss):
                raise RunError(self._diverged(step, saved))
            if step % rows == 0 or step <= 3 or step == steps:
                self.history.append(self._row(output))
                self.watch(self.history[-1])
            if step - saved == every or step == steps:
                self.checkpoints.save(trainer, self.position, self.history)
                saved = step
            if step == steps:
                return
        raise InputError(
            f"The text ends after {trainer.n_training_samples:,} training tokens, fewer than the "
            f"{trainer.cfg.total_training_samples:,} of --tokens. Add text or lower --tokens; "
            "documents of the held-out text are left out, and a .txt file is one document."
        )

    def _batches(self) -> Iterator[Tensor]:
        """Batches from the position on; the position is that after the batch that is out."""
        size, start = self.trainer.cfg.train_batch_size_samples, self.position
        for block in self.stream.blocks(start.block):
            if block.number == start.block and start.text not in ("", block.text):
                raise InputError(
                    "The training text is no longer what it was when this run was begun. Put it "
                    f"back, or remove {self.checkpoints.folder} to start anew."
                )
            if self.trainer.activation_scaler.scaling_factor is None:
                self._start_from(block)
            for number, batch in enumerate(block.batches(size)):
                if (block.number, number) >= (start.block, start.used):
                    self.position = Position(block.number, number + 1, block.text)
                    yield batch
            del block  # before the next one is made

    @torch.no_grad()
    def _start_from(self, block: Block) -> None:
        """Take the scale of activations (see `NORMALISATION`) and their mean from a block.

        The decoder's bias starts at the mean (Bricken et al. 2023), which training need not find.
        """
        scale = block.rows.shape[1] ** 0.5 / block.rows.norm(dim=-1).mean().item()
        self.trainer.activation_scaler.scaling_factor = scale
        self.trainer.sae.b_dec.copy_(scale * block.rows.mean(0))

    def _row(self, output: TrainStepOutput) -> Row:
        samples = self.trainer.n_training_samples
        seen: dict[str, Any] = self.trainer.build_train_step_log_dict(output, samples)
        return Row(
            step=self.trainer.n_training_steps,
            tokens=samples,
            loss=seen["losses/overall_loss"],
            explained_variance=seen["metrics/explained_variance"],
            l0=seen["metrics/l0"],
            dead=int(seen["sparsity/dead_features"]),
            losses={name: _number(value) for name, value in output.losses.items()},
        )

    def _diverged(self, step: int, saved: int) -> str:
        folder = self.checkpoints.folder
        kept = f"The checkpoint after step {saved}, in {folder}, is kept; remove it to "
        return (
            f"The loss is no finite number at step {step}: training diverged. "
            f"{kept + 'train' if saved else 'Train'} again with a lower --lr than "
            f"{self.trainer.cfg.lr:g}, or in float32."
        )


def _number(value: Any) -> float:
    return value.item() if isinstance(value, Tensor) else float(value)
