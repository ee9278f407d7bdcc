"""Whose SAE is it? Names are compared as people mean them, and another model's SAE is refused."""

import dataclasses
import logging

import pytest

from relp_sae.catalogue import model_key
from relp_sae.errors import InputError
from relp_sae.saes import load_saes, require_same_model


@pytest.fixture
def named(gpt2_model):
    """``named("gpt2")``: the tiny model under another name."""
    return lambda name: dataclasses.replace(gpt2_model, name=name)


@pytest.fixture
def trained_on(sae_folder):
    """``trained_on("gpt2")``: an SAE whose metadata name that model."""

    def load(name, source=""):
        (sae,) = load_saes(str(sae_folder(metadata={"model_name": name}))).values()
        return dataclasses.replace(sae, source=source or sae.source)

    return load


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("gpt2-small", "gpt2"),
        ("gpt2-small", "openai-community/gpt2"),
        ("gemma-2-2b", "google/gemma-2-2b"),
        ("pythia-70m-deduped", "EleutherAI/pythia-70m-deduped"),
        ("mistral-7b", "mistralai/Mistral-7B-v0.1"),
        ("qwen3-4b", "Qwen/Qwen3-4B"),
        ("meta-llama/Meta-Llama-3.1-8B", "meta-llama/Llama-3.1-8B"),
        ("Llama-2-7b", "meta-llama/Llama-2-7b-hf"),
        ("smollm2-135m", "HuggingFaceTB/SmolLM2-135M-Instruct"),
        ("./models/pythia-70m/", "pythia-70m"),
    ],
)
def test_two_names_of_one_model(one, other, trained_on, named):
    assert model_key(one) == model_key(other)
    assert require_same_model(trained_on(one), named(other)) is None
    assert require_same_model(trained_on(other), named(one)) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("gpt2-small", "EleutherAI/pythia-160m"),
        ("gemma-2-9b", "google/gemma-2-9b-it"),
        ("pythia-70m-deduped", "EleutherAI/pythia-70m"),
        ("gpt2-small", "gpt2-medium"),
        ("qwen3-1.7b", "Qwen/Qwen3-1.7B-Base"),
        ("HuggingFaceTB/SmolLM2-135M", "smollm2-135m"),
    ],
)
def test_another_model_is_refused_with_both_names(one, other, trained_on, named):
    sae = trained_on(one)
    with pytest.raises(InputError) as raised:
        require_same_model(sae, named(other))
    sentence = str(raised.value)
    assert sentence.startswith(f"{sae.source} was trained on {one}, but the model is {other}. ")
    assert f"relp-sae list saes --model {other}" in sentence
    assert "add --allow-other-model, which the run's record keeps" in sentence


def test_another_model_on_purpose_is_logged(trained_on, named, caplog):
    sae = trained_on("gemma-2-9b")
    with caplog.at_level(logging.WARNING, "relp_sae"):
        require_same_model(sae, named("google/gemma-2-9b-it"), allow_other=True)
    assert caplog.messages == [
        f"{sae.source} was trained on gemma-2-9b, but the model is google/gemma-2-9b-it. It is "
        "used all the same, as asked for."
    ]


def test_what_names_cannot_tell_is_not_refused(trained_on, named, tmp_path, caplog):
    for model in (str(tmp_path), "/models/pythia-160m", "./pythia-160m"):
        require_same_model(trained_on("gpt2-small"), named(model))
    for owner in (None, "", str(tmp_path), "/home/me/gpt2-of-mine"):
        require_same_model(trained_on(owner), named("EleutherAI/pythia-160m"))
    assert caplog.messages == []


def test_the_registry_may_know_better_than_the_files(trained_on, named):
    """SAELens' loader names Llama 3.1 for this one, its registry the model it is for."""
    source = "llama_scope_r1_distill/l0r_800m_slimpajama"
    sae = trained_on("meta-llama/Llama-3.1-8B", source)
    for model in ("deepseek-ai/DeepSeek-R1-Distill-Llama-8B", "meta-llama/Llama-3.1-8B"):
        require_same_model(sae, named(model))
    names = "deepseek-ai/DeepSeek-R1-Distill-Llama-8B or meta-llama/Llama-3.1-8B"
    with pytest.raises(InputError, match=f"was trained on {names}, but the model is meta"):
        require_same_model(sae, named("meta-llama/Llama-3.1-8B-Instruct"))


def test_a_paired_run_refuses_unless_told_otherwise(make_run, sae_folder, gpt2_model, named):
    run = make_run(gpt2_model, "resid_pre.1")
    saes = load_saes(str(sae_folder(metadata={"model_name": "gpt2-small"})))
    model = named("EleutherAI/pythia-160m")
    with pytest.raises(InputError, match="was trained on gpt2-small, but the model is Eleuther"):
        type(run)(model, saes, run.pairs, run.metric)
    allowed = type(run)(model, saes, run.pairs, run.metric, allow_other_model=True)
    assert allowed.sites == run.sites
