"""A little text, and a config that trains on it in a second."""

import gzip
import json
from itertools import islice

import pytest
import torch

from relp_sae.records import Site
from relp_sae.tasks import tasks
from relp_sae.training import TrainingConfig, train_sae
from relp_sae.training.text import documents, pack

SITE = Site.parse("resid_pre.2")


@pytest.fixture(scope="package")
def text(gpt2_model, tmp_path_factory):
    """Two hundred IOI sentences, one document a line."""
    path = tmp_path_factory.mktemp("text") / "train.jsonl.gz"
    pairs = tasks["ioi"](gpt2_model.tokenizer, n=200, seed=5)
    with gzip.open(path, "wt") as file:
        file.writelines(json.dumps({"text": pair.clean}) + "\n" for pair in pairs)
    return str(path)


@pytest.fixture(scope="package")
def config(text):
    return TrainingConfig(
        model="tiny",
        site=str(SITE),
        data=text,
        held_out=text,
        width="4x",
        k=8,
        tokens=1600,
        held_out_tokens=320,
        context=16,
        batch=16,
        buffer=512,
        lr=3e-3,
    )


@pytest.fixture(scope="package")
def trained(gpt2_model, config, tmp_path_factory):
    """The folder of a trained SAE and its reported quality."""
    out = tmp_path_factory.mktemp("out") / "sae"
    return out, train_sae(gpt2_model, config, out)


@pytest.fixture(scope="package")
def contexts(gpt2_model, text):
    """Forty contexts of sixteen tokens, (1, 16) each."""
    packed = pack(documents(text, gpt2_model, 0), gpt2_model.tokenizer, 16)
    return list(islice(packed, 40))


@pytest.fixture(scope="package")
def stream(gpt2_model, text):
    """``stream(**changes)``: an activation stream of blocks of eight contexts."""
    from relp_sae.training.stream import ActivationStream

    def make(**changes):
        settings = {
            **{"model": gpt2_model, "site": SITE, "context": 16, "block": 8},
            **{"documents": lambda: documents(text, gpt2_model, 0)},
            **{"autocast": torch.float32, "seed": 0, **changes},
        }
        return ActivationStream(**settings)

    return make
