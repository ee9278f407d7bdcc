"""load_model: from a folder, and every way in which it can fail, as a sentence."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from relp_sae.errors import InputError
from relp_sae.models import load_model
from relp_sae.models.family import families
from relp_sae.models.loading import DTYPES

IDS = torch.tensor([[0, 17, 45, 99, 17, 8]])


@pytest.fixture
def folder(save_tiny, family):
    """A tiny model of each family that the test may spoil."""
    return save_tiny(family)


def spoil_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_the_model_of_a_folder(folder, family):
    model = load_model(str(folder))
    assert (model.name, model.config.model_type) == (str(folder), family)
    assert (model.n_layers, model.d_model, model.dtype) == (3, 32, torch.float32)
    assert model.device == torch.device("cpu")
    assert not model.hf.training
    assert not any(weight.requires_grad for weight in model.hf.parameters())
    assert model.config._attn_implementation == "eager"
    assert model.tokenizer.bos_token_id == 0
    saved = load_file(folder / "model.safetensors")
    assert all(torch.equal(model.hf.state_dict()[name], saved[name]) for name in saved)


@torch.no_grad()
@pytest.mark.parametrize("dtype", DTYPES)
def test_its_logits_are_those_of_transformers_own_attention(folder, dtype):
    model = load_model(str(folder), dtype=dtype)
    hf = AutoModelForCausalLM.from_pretrained(folder, dtype=DTYPES[dtype])
    assert hf.config._attn_implementation != "eager"
    assert model.dtype == DTYPES[dtype]
    expected = hf.eval()(input_ids=IDS).logits[:, -1]
    tolerance = 2e-5 * expected.abs().max() if dtype != "bfloat16" else 0.05 * expected.abs().max()
    torch.testing.assert_close(model.last_logits(IDS), expected, rtol=0, atol=float(tolerance))


def test_a_checkpoint_without_its_head(save_tiny):
    """As the Hub's gpt2 is: no prefix, no lm_head. Where the head is tied, nothing is missing."""
    whole = save_tiny("gpt2")
    model = load_model(str(whole))
    model.hf.transformer.save_pretrained(whole)
    assert "wte.weight" in load_file(whole / "model.safetensors")
    assert load_model(str(whole)).sha256() == model.sha256()
    untied = save_tiny("llama")
    load_model(str(untied)).hf.model.save_pretrained(untied)
    with pytest.raises(InputError, match=r"1 weights are not in its files, such as lm_head"):
        load_model(str(untied))


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("smolm2-135m", "Did you mean 'smollm2-135m'? "),
        ("smollm2-135", "Did you mean 'smollm2-135m'? "),
        ("some/where", "Unknown model 'some/where'. Give smollm2-135m"),
        ("no such model!", "Unknown model 'no such model!'. Give smollm2-135m"),
        ("", "Unknown model ''"),
    ],
)
def test_an_unknown_name(name, hint):
    with pytest.raises(InputError) as raised:
        load_model(name)
    assert hint in str(raised.value)
    assert "local folder" in str(raised.value)


@pytest.mark.parametrize("other", ["opt", "bert", "t5"])
def test_a_family_that_is_not_declared(tmp_path, other):
    AutoConfig.for_model(other).save_pretrained(tmp_path)
    with pytest.raises(InputError) as raised:
        load_model(str(tmp_path))
    assert f"of family '{other}', which is not declared yet" in str(raised.value)
    assert f"Known families: {', '.join(families)}. A family is one file" in str(raised.value)
    assert "docs/adding.md" in str(raised.value)


@pytest.mark.parametrize(
    ("setting", "match"),
    [("reorder_and_upcast_attn", "reorder_and_upcast_attn"), ("add_cross_attention", "cross-att")],
)
def test_gpt2_whose_attention_takes_another_path_is_refused(save_tiny, setting, match):
    with pytest.raises(InputError, match=match):
        load_model(str(save_tiny("gpt2", **{setting: True})))


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "", "mps", "meta"])
def test_a_device_that_is_not_here(device, folder):
    with pytest.raises(InputError, match=f"Device '{device}' is not available here"):
        load_model(str(folder), device=device)


@pytest.mark.parametrize("dtype", ["float16", "fp32", ""])
def test_an_unknown_dtype(dtype, folder):
    with pytest.raises(InputError, match=f"Unknown dtype '{dtype}'. Known: float32, float64"):
        load_model(str(folder), dtype=dtype)


def cut_weights(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:5000])


def cut_header(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:20])


def empty_weights(folder):
    (folder / "model.safetensors").write_bytes(b"")


def no_weights(folder):
    (folder / "model.safetensors").unlink()


def one_weight_missing(folder):
    path = folder / "model.safetensors"
    weights = load_file(path)
    del weights[next(name for name in sorted(weights) if ".1." in name)]
    save_file(weights, path, metadata={"format": "pt"})


def another_shape(folder):
    spoil_config(folder, vocab_size=77)


def garbage_config(folder):
    (folder / "config.json").write_text("{")


def list_config(folder):
    (folder / "config.json").write_text("[]")


def binary_config(folder):
    (folder / "config.json").write_bytes(b"\xff\xfe\x00")


def no_config(folder):
    (folder / "config.json").unlink()


def no_family(folder):
    spoil_config(folder, model_type=None)


def heads_that_do_not_divide(folder):
    spoil_config(folder, n_head=5, num_attention_heads=5)


def unknown_activation(folder):
    spoil_config(folder, activation_function="gleu", hidden_act="gleu")


def no_tokenizer(folder):
    for path in folder.glob("tokenizer*"):
        path.unlink()


def garbage_tokenizer(folder):
    (folder / "tokenizer.json").write_text("{}")


SPOILERS = [
    *(cut_weights, cut_header, empty_weights, no_weights, one_weight_missing, another_shape),
    *(garbage_config, list_config, binary_config, no_config, no_family),
    *(heads_that_do_not_divide, unknown_activation, no_tokenizer, garbage_tokenizer),
]


@pytest.mark.parametrize("spoil", SPOILERS, ids=lambda spoil: spoil.__name__)
def test_a_folder_that_cannot_be_read(folder, spoil):
    spoil(folder)
    with pytest.raises(InputError) as raised:
        load_model(str(folder))
    sentence = str(raised.value)
    assert sentence.startswith(f"Cannot read a Hugging Face causal language model from {folder}: ")
    assert "\n" not in sentence
    assert len(sentence) > len(str(folder)) + 60  # it ends with a reason


def test_an_empty_folder(tmp_path):
    with pytest.raises(InputError, match="Cannot read a Hugging Face causal language model"):
        load_model(str(tmp_path))


def test_a_file(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF")
    with pytest.raises(InputError, match="Cannot read a Hugging Face causal language model"):
        load_model(str(path))
