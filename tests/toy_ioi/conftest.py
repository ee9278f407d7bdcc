"""A small model that truly does IOI, with an SAE; ``train.py`` made both."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

from relp_sae.metrics import metrics
from relp_sae.models import load_model
from relp_sae.run import PairedRun
from relp_sae.saes import load_saes
from relp_sae.tasks import tasks

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def toy_ioi_training():
    """What ``train.py`` defines."""
    return SimpleNamespace(**runpy.run_path(str(HERE / "train.py")))


@pytest.fixture(scope="session")
def toy_ioi_model():
    return load_model(str(HERE / "model"))


@pytest.fixture(scope="session")
def toy_ioi_saes():
    return load_saes(str(HERE / "sae"))


@pytest.fixture(scope="session")
def toy_ioi_run(toy_ioi_model, toy_ioi_saes):
    """The model, its SAE and 16 pairs whose giver is flipped."""
    pairs = tasks["ioi"](toy_ioi_model.tokenizer, n=16, seed=0)
    return PairedRun(toy_ioi_model, toy_ioi_saes, pairs, metrics["logit_diff"])
