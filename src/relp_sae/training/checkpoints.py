"""Checkpoints of a training run: a folder beside the SAE that is being made."""

import json
import os
import pickle
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from sae_lens.training.sae_trainer import SAETrainer
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from relp_sae.errors import InputError
from relp_sae.models import LanguageModel
from relp_sae.records.atomic import write_text
from relp_sae.training.config import TrainingConfig
from relp_sae.training.history import Row

PACKAGES = ("relp-sae", "torch", "transformers", "sae-lens")
PREFIX = "step-"

UNREADABLE = (
    *(OSError, ValueError, RuntimeError, KeyError, TypeError, EOFError),
    *(SafetensorError, pickle.UnpicklingError),
)
"""What the readers of a damaged checkpoint raise."""


@dataclass(frozen=True)
class Position:
    """Where in the activation stream training is: ``used`` batches of block ``block`` are done.

    ``text`` is the block's own: what the text was so far.
    """

    block: int = 0
    used: int = 0
    text: str = ""


@dataclass(frozen=True)
class Checkpoints:
    """Complete checkpoints of one config in ``folder``; one that was cut off does not count."""

    folder: Path

    @staticmethod
    def of(out: Path, config: TrainingConfig, model: LanguageModel) -> "Checkpoints":
        """The folder ``OUT.training``, made anew or found with the same settings.

        Raises:
            InputError: it holds a run of other settings, packages or weights, or something else,
                or cannot be written.
        """
        folder = out.with_name(out.name + ".training")
        wanted = {
            **asdict(config),
            "model_sha256": model.sha256(),
            "device": str(model.device),
            "dtype": str(model.dtype),
            "packages": {name: version(name) for name in PACKAGES},
        }
        path = folder / "config.json"
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for cut_off in folder.glob(".writing-*"):
                shutil.rmtree(cut_off)
        if not path.exists():
            if any(folder.iterdir()):
                raise InputError(
                    f"{folder} exists and is no training run of this package. Move it, or choose "
                    "another --out."
                )
            write_text(path, json.dumps(wanted, indent=1) + "\n")
            return Checkpoints(folder)
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"Cannot read {path}: {error}. Remove {folder}.") from error
        if found != wanted:
            other = sorted(key for key in wanted if wanted[key] != found.get(key))
            raise InputError(
                f"{folder} holds a training run that was begun with another {', '.join(other)}. "
                "Go on with the settings in its config.json, remove it, or choose another --out."
            )
        return Checkpoints(folder)

    def latest(self) -> Path | None:
        """The last complete checkpoint."""
        return max(self._complete(), key=lambda path: int(path.name[len(PREFIX) :]), default=None)

    def _complete(self) -> list[Path]:
        return [one for one in self.folder.glob(f"{PREFIX}*") if one.name[len(PREFIX) :].isdigit()]

    def save(self, trainer: SAETrainer, position: Position, history: list[Row]) -> None:
        """Write a checkpoint, whole or not at all, and drop those before it."""
        path = self.folder / f"{PREFIX}{trainer.n_training_steps}"
        before = self._complete()
        with writing(path):
            temporary = Path(tempfile.mkdtemp(dir=self.folder, prefix=".writing-"))
            try:
                tensors = {k: v.contiguous() for k, v in trainer.sae.state_dict().items()}
                save_file(tensors, temporary / "sae.safetensors")
                _save_state(trainer, temporary)
                progress = {"position": asdict(position), "history": [*map(asdict, history)]}
                (temporary / "progress.json").write_text(json.dumps(progress), encoding="utf-8")
                for file in temporary.iterdir():
                    with file.open("rb+") as written:
                        os.fsync(written.fileno())
                temporary.rename(path)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
            for old in before:
                shutil.rmtree(old)

    def load(self, trainer: SAETrainer) -> tuple[Position, list[Row]]:
        """Set a fresh trainer to the last checkpoint; the start where there is none.

        Raises:
            InputError: the checkpoint cannot be read.
        """
        path = self.latest()
        if path is None:
            return Position(), []
        try:
            trainer.sae.load_state_dict(load_file(path / "sae.safetensors"))
            trainer.load_trainer_state(path)
            progress = json.loads((path / "progress.json").read_text(encoding="utf-8"))
            history = [Row(**row) for row in progress["history"]]
            return Position(**progress["position"]), history
        except UNREADABLE as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise InputError(
                f"Cannot read the checkpoint {path}: {reason}. Remove {self.folder} to start anew."
            ) from error

    def remove(self) -> None:
        """Remove the folder: what it was for is made, or it holds nothing."""
        with writing(self.folder):
            shutil.rmtree(self.folder)


def _save_state(trainer: SAETrainer, folder: Path) -> None:
    try:
        trainer.save_trainer_state(folder)
    except RuntimeError as error:  # torch's own writer has no other for a full disk
        raise OSError(str(error).splitlines()[0]) from error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Inside the context an operating system's refusal to write is one sentence.

    Raises:
        InputError: the disk is full, or a folder is in the way or cannot be written.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"Cannot write {path}: {reason}. Free space or choose another --out; the same command "
            "goes on from the last checkpoint."
        ) from error
