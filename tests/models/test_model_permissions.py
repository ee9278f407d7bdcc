"""What a model may not do unasked: be unpickled, run code of its own, be a mixture of experts."""

import json
import pickle
import sys

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

from relp_sae.errors import InputError
from relp_sae.models import load_model

IDS = torch.tensor([[0, 17, 45, 99, 17, 8]])

CONFIGURATION = """
from pathlib import Path
from transformers import LlamaConfig

class OwnConfig(LlamaConfig):
    model_type = "{model_type}"

Path({marker!r}).touch()
"""

MODELLING = """
from transformers import LlamaForCausalLM
from .configuration_own import OwnConfig

class OwnModel(LlamaForCausalLM):
    config_class = OwnConfig
"""


class Harmful:
    """Unpickling this would run code."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was executed",))


def change_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def pickle_weights(folder, name="pytorch_model.bin", content=None):
    """The folder with a pickle in the place of its safetensors."""
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(state if content is None else content, folder / name)


# Pickles.


def test_pickled_weights_are_refused_and_not_opened(save_tiny):
    folder = save_tiny("llama")
    pickle_weights(folder, content=Harmful())
    with pytest.raises(InputError) as raised:
        load_model(str(folder))
    sentence = str(raised.value)
    assert sentence.startswith(f"{folder} has no safetensors, only pytorch_model.bin. Pickles can")
    assert "add --allow-pickle (allow_pickle=True in Python; only tensors are then" in sentence
    assert "AutoModelForCausalLM.from_pretrained(NAME).save_pretrained(FOLDER)" in sentence


def test_pickled_weights_that_are_allowed_are_the_same_model(save_tiny, family):
    safe, folder = save_tiny(family), save_tiny(family)
    pickle_weights(folder)
    one, other = load_model(str(safe)), load_model(str(folder), allow_pickle=True)
    assert one.sha256() == other.sha256()
    with torch.no_grad():
        assert torch.equal(one.last_logits(IDS), other.last_logits(IDS))


def test_the_advice_converts_a_pickled_model(save_tiny):
    safe, folder = save_tiny("llama"), save_tiny("llama")
    pickle_weights(folder)
    AutoModelForCausalLM.from_pretrained(folder).save_pretrained(folder)
    assert load_model(str(folder)).sha256() == load_model(str(safe)).sha256()


def test_an_allowed_pickle_of_objects_is_not_executed(save_tiny):
    folder = save_tiny("llama")
    pickle_weights(folder)
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Harmful()))
    with pytest.raises(InputError, match=f"^Cannot read a Hugging Face .* from {folder}"):
        load_model(str(folder), allow_pickle=True)


def test_safetensors_beside_a_pickle_are_what_is_read(save_tiny):
    folder = save_tiny("llama")
    before = load_model(str(folder)).sha256()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Harmful()))
    (folder / "training_args.bin").write_bytes(pickle.dumps(Harmful()))
    assert load_model(str(folder)).sha256() == before
    assert load_model(str(folder), allow_pickle=True).sha256() == before


def test_a_model_of_the_hub_that_has_pickles_only(monkeypatch, save_tiny):
    """What transformers says then, word for word; safetensors are what it is asked for."""
    folder, asked = save_tiny("llama"), []

    def from_pretrained(name, **options):
        asked.append(options["use_safetensors"])
        raise OSError(
            f"{name} does not appear to have a file named model.safetensors or "
            "model.safetensors.index.json and thus cannot be loaded with `safetensors`. Please do "
            "not set `use_safetensors=True`."
        )

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", from_pretrained)
    with pytest.raises(InputError, match="is published without safetensors, as pickles only"):
        load_model(str(folder))
    assert asked == [True]


# Code of the model's own.


@pytest.fixture(scope="module")
def modules_cache(tmp_path_factory):
    """Where transformers copies such code to, once for this process; not the user's cache."""
    from transformers import dynamic_module_utils

    with pytest.MonkeyPatch.context() as patch:
        cache = tmp_path_factory.mktemp("modules")
        patch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(cache))
        patch.setattr(sys, "path", [*sys.path])
        yield cache


@pytest.fixture
def own_code(save_tiny, modules_cache):
    """``own_code(model_type)``: a Llama with classes of its own, and a file that its code makes."""

    def make(model_type):
        folder = save_tiny("llama")
        marker = modules_cache / f"the code of {folder.name} was run"
        text = CONFIGURATION.format(model_type=model_type, marker=str(marker))
        (folder / "configuration_own.py").write_text(text)
        (folder / "modeling_own.py").write_text(MODELLING)
        auto_map = {
            "AutoConfig": "configuration_own.OwnConfig",
            "AutoModelForCausalLM": "modeling_own.OwnModel",
        }
        change_config(folder, model_type=model_type, auto_map=auto_map)
        return folder, marker

    return make


def test_code_of_a_model_is_not_run_unasked(own_code):
    folder, marker = own_code("own_architecture")
    with pytest.raises(InputError) as raised:
        load_model(str(folder))
    sentence = str(raised.value)
    assert sentence.startswith(f"{folder} needs code of its own, which comes with its files")
    assert "add --trust-remote-code (load_model(..., trust_remote_code=True))" in sentence
    assert "\n" not in sentence
    assert not marker.exists()


def test_code_that_is_trusted_is_run_and_its_family_must_be_declared(own_code):
    folder, marker = own_code("own_architecture")
    with pytest.raises(InputError, match="is of family 'own_architecture', which is not declared"):
        load_model(str(folder), trust_remote_code=True)
    assert marker.exists()


def test_code_that_is_trusted_is_the_model(own_code):
    """A family that is declared: the declaration is checked on the model's own classes."""
    folder, marker = own_code("llama")
    model = load_model(str(folder), trust_remote_code=True)
    assert marker.exists()
    assert type(model.hf).__name__ == "OwnModel"
    assert model.n_layers == 3


def test_code_that_is_not_needed_is_not_run(own_code):
    """As many checkpoints of Phi-3: transformers has the family itself, and its class is used."""
    folder, marker = own_code("llama")
    model = load_model(str(folder))
    assert type(model.hf).__module__.startswith("transformers.")
    assert not marker.exists()


# Mixtures of experts.


@pytest.mark.parametrize(
    "experts",
    [
        *("mixtral", "qwen2_moe", "qwen3_moe", "olmoe", "gpt_oss", "phimoe", "granitemoe"),
        *("deepseek_v2", "deepseek_v3", "ernie4_5_moe", "llama4_text", "jamba", "dbrx"),
    ],
)
def test_a_mixture_of_experts_is_refused(tmp_path, experts):
    """The configuration is enough."""
    AutoConfig.for_model(experts).save_pretrained(tmp_path)
    with pytest.raises(InputError) as raised:
        load_model(str(tmp_path))
    assert str(raised.value) == (
        f"{tmp_path} ({experts}) is a mixture of experts. The propagation rules do not reach its "
        "router and experts, so no score would be what it says. Use a dense model."
    )
