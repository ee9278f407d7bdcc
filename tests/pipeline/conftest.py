"""A tiny model, an SAE and a pairs file on disk: all that a run needs."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Inputs:
    """Paths of a run's inputs, as a user would name them."""

    model: str
    sae: str
    task: str


@pytest.fixture(scope="session")
def inputs(save_tiny, sae_folder, make_run, tmp_path_factory) -> Inputs:
    """The tiny Llama, a TopK SAE at resid_pre.1, and three pairs that the model gets right."""
    from relp_sae.models import load_model

    folder = save_tiny("llama")
    run = make_run(load_model(str(folder)), "resid_pre.1")
    path = tmp_path_factory.mktemp("task") / "pairs.jsonl"
    lines = [
        {
            "clean_ids": pair.clean_ids,
            "corrupted_ids": pair.corrupted_ids,
            "answer_id": pair.answer,
            "foil_id": pair.foil,
        }
        for pair in run.pairs
    ]
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\n")
    return Inputs(str(folder), str(sae_folder("resid_pre.1")), str(path))


@pytest.fixture(scope="session")
def config(inputs: Inputs):
    """The config of a whole small run on the inputs."""
    from relp_sae.records import RunConfig

    return RunConfig(
        model=inputs.model,
        saes=(inputs.sae,),
        task=inputs.task,
        n=3,
        methods=("gradient", "integrated-gradients:3", "relp", "delta-norm", "random"),
        truths=("denoise", "noise"),
        base="both",
        seed=0,
        device="cpu",
        dtype="float32",
        bootstrap=100,
    )


@pytest.fixture(scope="session")
def finished(config, tmp_path_factory) -> Path:
    """The folder of that run, done once."""
    from relp_sae.experiment import run_experiment

    return run_experiment(config, tmp_path_factory.mktemp("runs") / "whole").path


@pytest.fixture
def relp_sae(monkeypatch, capsys):
    """``relp_sae("run", "--n", 3)``, in this process: (exit code, standard output and error)."""
    from relp_sae.cli.app import main

    def invoke(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["relp-sae", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return ended.value.code or 0, printed.out, printed.err

    return invoke
