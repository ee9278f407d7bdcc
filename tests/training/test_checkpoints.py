"""A run that is stopped anywhere and started again ends as if it had not been stopped."""

import errno
import gzip
import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from relp_sae.errors import InputError
from relp_sae.models import load_model
from relp_sae.saes import load_saes
from relp_sae.training import architectures, checkpoints, train_sae


class Stopped(Exception):  # noqa: N818, ends a run on purpose
    """Stands for whatever ends a run."""


def stop_at(step):
    def watch(row):
        if row.step >= step:
            raise Stopped

    return watch


def weights(folder):
    (dictionary,) = load_saes(str(folder)).values()
    return dictionary.sha256()


@pytest.mark.parametrize("arch", list(architectures))
def test_stopped_and_started_again_equals_uninterrupted(gpt2_model, config, tmp_path, arch):
    sparsity = {"k": 8} if architectures[arch].sparsity == "k" else {"k": None, "l1": 2.0}
    config = replace(config, arch=arch, **sparsity)
    whole = train_sae(gpt2_model, config, tmp_path / "whole")
    for step in (30, 75):
        with pytest.raises(Stopped):
            train_sae(
                gpt2_model, config, tmp_path / "sae", checkpoint_every=11, watch=stop_at(step)
            )
    seen = []
    quality = train_sae(
        gpt2_model, config, tmp_path / "sae", checkpoint_every=11, watch=seen.append
    )
    assert seen[0].step == 67  # the last checkpoint, 66, is gone on from
    assert quality == whole
    assert weights(tmp_path / "sae") == weights(tmp_path / "whole")
    for name in ("training.csv", "quality.json"):
        assert (tmp_path / "sae" / name).read_text() == (tmp_path / "whole" / name).read_text()
    assert not (tmp_path / "sae.training").exists()


KILLED = """
import os, signal, sys
from relp_sae.models import load_model
from relp_sae.training import TrainingConfig, train_sae
from pathlib import Path
import json
def watch(row):
    if row.step == 60:
        os.kill(os.getpid(), signal.SIGKILL)
config = TrainingConfig(**json.loads(sys.argv[1]))
train_sae(load_model(config.model), config, Path(sys.argv[2]), checkpoint_every=25, watch=watch)
"""


def test_a_killed_process_loses_only_what_came_after_its_checkpoint(save_tiny, config, tmp_path):
    config = replace(config, model=str(save_tiny("gpt2")))
    settings = json.dumps(asdict(config))
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, settings, str(tmp_path / "sae")],
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert ended.returncode == -signal.SIGKILL
    model, seen = load_model(config.model), []
    train_sae(model, config, tmp_path / "sae", checkpoint_every=25, watch=seen.append)
    assert seen[0].step == 51
    train_sae(model, config, tmp_path / "whole")
    assert weights(tmp_path / "sae") == weights(tmp_path / "whole")


@pytest.fixture
def half_way(gpt2_model, config, tmp_path):
    """The output folder of a run that was stopped after its checkpoint at step 40."""
    with pytest.raises(Stopped):
        train_sae(gpt2_model, config, tmp_path / "sae", checkpoint_every=20, watch=stop_at(45))
    return tmp_path / "sae"


def test_other_settings_do_not_go_on(gpt2_model, config, half_way):
    with pytest.raises(InputError, match="begun with another lr, seed"):
        train_sae(gpt2_model, replace(config, lr=1.0, seed=3), half_way)
    assert (half_way.with_name("sae.training") / "step-40").is_dir()


def test_other_text_under_the_same_name_does_not_go_on(gpt2_model, config, text, tmp_path):
    copy = tmp_path / "text.jsonl"
    with gzip.open(text, "rt") as file:
        lines = file.readlines()
    copy.write_text("".join(lines))
    config = replace(config, data=str(copy))
    with pytest.raises(Stopped):
        train_sae(gpt2_model, config, tmp_path / "sae", checkpoint_every=20, watch=stop_at(45))
    copy.write_text("".join(lines[:25] + lines[26:]))
    with pytest.raises(InputError, match="The training text is no longer what it was"):
        train_sae(gpt2_model, config, tmp_path / "sae")
    copy.write_text("".join(lines))
    train_sae(gpt2_model, config, tmp_path / "sae")


@pytest.mark.parametrize("name", ["sae.safetensors", "trainer_state.pt", "progress.json"])
def test_a_torn_checkpoint_is_named(gpt2_model, config, half_way, name):
    file = half_way.with_name("sae.training") / "step-40" / name
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(InputError, match=r"Cannot read the checkpoint .*step-40"):
        train_sae(gpt2_model, config, half_way)


def test_a_full_disk_keeps_the_checkpoint_before(gpt2_model, config, half_way, monkeypatch):
    def full(*_args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def torchs(*_args):
        raise RuntimeError("PytorchStreamWriter failed writing file data.pkl: file write failed")

    for module, name, fails, sentence in (
        (checkpoints, "save_file", full, r"No space left on device.*goes on from the last"),
        (torch, "save", torchs, r"failed writing file.*Free space"),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(module, name, fails)
            with pytest.raises(InputError, match=sentence):
                train_sae(gpt2_model, config, half_way, checkpoint_every=20)
    left = sorted(path.name for path in half_way.with_name("sae.training").iterdir())
    assert left == ["config.json", "step-40"]
    train_sae(gpt2_model, config, half_way)


def test_a_write_that_was_cut_off_does_not_count(gpt2_model, config, half_way):
    (half_way.with_name("sae.training") / ".writing-cut").mkdir()
    seen = []
    train_sae(gpt2_model, config, half_way, watch=seen.append)
    assert seen[0].step == 41


def test_somebody_elses_folder_is_left_alone(gpt2_model, config, tmp_path):
    theirs = tmp_path / "sae.training" / "notes.txt"
    theirs.parent.mkdir()
    theirs.write_text("mine")
    with pytest.raises(InputError, match="is no training run of this package"):
        train_sae(gpt2_model, config, tmp_path / "sae")
    assert theirs.read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_named(gpt2_model, config, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="Cannot write"):
        train_sae(gpt2_model, config, Path(tmp_path / "file" / "sae"))
