"""What runs on a second device gives what it gives on the CPU. Run by test_another_device.py."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from accelerator import accelerator
from relp_sae.attribution import attribute, methods
from relp_sae.experiment import run_experiment
from relp_sae.experiment.loading import load_inputs
from relp_sae.metrics import metrics
from relp_sae.models import load_model
from relp_sae.patching import patch, truths
from relp_sae.records import RunConfig
from relp_sae.run import PairedRun
from relp_sae.tasks.loading import load_task


def test_the_device_refuses_what_cuda_refuses():
    with accelerator() as device:
        x = torch.arange(6.0, device=device).view(2, 3)
        x[1] = torch.ones(3, device=device)
        assert (x * torch.tensor(2.0)).cpu().tolist() == [[0, 2, 4], [2, 2, 2]]
        assert x[torch.tensor([1])].device.type == device
        for mixed in (
            lambda: x + torch.ones(3),
            lambda: torch.cat([x, torch.ones(1, 3)]),
            lambda: x.index_put_((torch.tensor([0]),), torch.ones(3)),
        ):
            with pytest.raises(RuntimeError, match="on the same device"):
                mixed()
        with pytest.raises(TypeError, match="numpy"):
            x.numpy()


@pytest.fixture
def config(family, save_tiny, make_run, sae_folder, tmp_path):
    """A small run on the CPU, at two sites."""
    folder = save_tiny(family)
    task = tmp_path / "pairs.jsonl"
    pairs = make_run(load_model(str(folder)), "resid_pre.1").pairs
    task.write_text("\n".join(json.dumps(_line(pair)) for pair in pairs))
    return RunConfig(
        model=str(folder),
        saes=(str(sae_folder("resid_pre.1")), str(sae_folder("mlp_out.2", "standard"))),
        task=str(task),
        methods=("gradient",),
        truths=("denoise",),
        base="corrupted",
        seed=0,
        device="cpu",
        dtype="float32",
        bootstrap=100,
        curves=True,
        scales=(0.5, 1.0),
        set_sizes=(2, 0),
    )


def _line(pair):
    return {
        **{"clean_ids": pair.clean_ids, "corrupted_ids": pair.corrupted_ids},
        **{"answer_id": pair.answer, "foil_id": pair.foil},
    }


def load_run(config):
    """The paired run of a config, on its device."""
    model, saes = load_inputs(config)
    pairs = load_task(config.task, model.tokenizer, config.n, config.seed).pairs
    return PairedRun(model, saes, pairs, metrics[config.metric])


def _same(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_a_whole_run(config, tmp_path):
    with accelerator() as device:
        there = config.model_copy(update={"device": device})
        folder = run_experiment(there, tmp_path / "there")
    found = {one.label: one.score for one in folder.read_scores()}
    here = load_run(config)
    _same(found["denoise"], patch(here, "denoise").score)
    _same(found["gradient@corrupted"], attribute(here, "gradient").score)


def test_error_terms_that_are_held(config):
    frozen = {"error_term": "frozen"}
    expected = patch(replace(load_run(config), **frozen), "denoise", engine="reference")
    with accelerator() as device:
        there = load_run(config.model_copy(update={"device": device}))
        found = patch(replace(there, **frozen), "denoise", engine="reference")
        slopes = attribute(replace(there, **frozen), "integrated-gradients:3")
    _same(found.score, expected.score)
    _same(slopes.score, attribute(replace(load_run(config), **frozen), slopes.name).score)


@pytest.fixture
def runs(config):
    """The run on the CPU, and a function that gives it on the device."""
    return load_run(config), lambda device: load_run(config.model_copy(update={"device": device}))


@pytest.mark.parametrize("name", [*methods, "secant:3"])
def test_estimates(runs, name):
    here, there = runs
    with accelerator() as device:
        found = attribute(there(device), name)
    _same(found.score, attribute(here, name).score)


TRUTHS = [*(("packed", name) for name in truths), ("reference", "denoise")]


@pytest.mark.parametrize(("engine", "name"), TRUTHS)
def test_truths(runs, engine, name):
    here, there = runs
    with accelerator() as device:
        found = patch(there(device), name, engine=engine)
    _same(found.score, patch(here, name).score)
