"""Training: text in, a SAELens folder with true figures out."""

import gzip
import json
from dataclasses import replace
from itertools import islice

import pytest
import torch
from sae_lens import SAE

from relp_sae.errors import InputError
from relp_sae.models import at_sites, read_sites
from relp_sae.records import Site
from relp_sae.saes import load_saes
from relp_sae.tasks import tasks
from relp_sae.training import TrainingConfig, measure_quality, train_sae
from relp_sae.training.stream import activation_stream, activations_at, ordinary
from relp_sae.training.text import documents, pack

SITE = Site.parse("resid_pre.2")


@pytest.fixture(scope="module")
def text(gpt2_model, tmp_path_factory):
    """Two hundred IOI sentences, one document a line."""
    path = tmp_path_factory.mktemp("text") / "train.jsonl.gz"
    pairs = tasks["ioi"](gpt2_model.tokenizer, n=200, seed=5)
    with gzip.open(path, "wt") as file:
        file.writelines(json.dumps({"text": pair.clean}) + "\n" for pair in pairs)
    return str(path)


@pytest.fixture(scope="module")
def config(text):
    return TrainingConfig(
        model="tiny",
        site="resid_pre.2",
        data=text,
        held_out=text,
        width=4,
        k=8,
        tokens=1600,
        held_out_tokens=320,
        context=16,
        batch=16,
        lr=3e-3,
    )


@pytest.fixture(scope="module")
def trained(gpt2_model, config, tmp_path_factory):
    """The folder of a trained SAE and its reported quality."""
    out = tmp_path_factory.mktemp("out") / "sae"
    return out, train_sae(gpt2_model, config, out)


def test_activations_are_the_models_and_skip_the_separator(gpt2_model, text):
    ids = torch.cat(list(islice(pack(documents(text, gpt2_model, 0), gpt2_model.tokenizer, 16), 4)))
    whole = read_sites(gpt2_model, [SITE], ids)[0][SITE]
    keep = (ids != 0) & (whole.norm(dim=-1) < 10 * whole.norm(dim=-1).median())
    found = activations_at(gpt2_model, SITE, ids, torch.float32)
    torch.testing.assert_close(found, whole[keep])
    assert not ordinary(whole, ids, gpt2_model)[:, 0].any()


def test_outliers_are_left_out(gpt2_model):
    x = torch.ones(1, 6, 4)
    x[0, 3] *= 11
    ids = torch.tensor([[0, 5, 6, 7, 0, 8]])
    assert ordinary(x, ids, gpt2_model).tolist() == [[False, True, True, False, False, True]]


def test_the_stream_is_shuffled_and_loses_nothing(gpt2_model, text):
    contexts = list(islice(pack(documents(text, gpt2_model, 0), gpt2_model.tokenizer, 16), 40))
    plain = activations_at(gpt2_model, SITE, torch.cat(contexts), torch.float32)
    torch.manual_seed(0)
    stream = activation_stream(
        gpt2_model, SITE, iter(contexts), batch=1, autocast=torch.float32, buffer=64
    )
    streamed = torch.cat(list(stream))
    assert streamed.shape == plain.shape
    assert not torch.equal(streamed, plain)
    torch.testing.assert_close(streamed.sum(0), plain.sum(0), atol=1e-3, rtol=1e-4)


def test_training_learns_and_saelens_opens_the_result(gpt2_model, config, trained, tmp_path):
    out, quality = trained
    assert SAE.load_from_disk(out).cfg.metadata.hook_name == "blocks.2.hook_resid_pre"
    assert quality.l0 <= 8
    untrained = train_sae(gpt2_model, replace(config, tokens=16, lr=1e-9), tmp_path / "untrained")
    assert quality.explained_variance > 0.3
    assert quality.explained_variance > untrained.explained_variance + 0.2
    card = (out / "README.md").read_text()
    assert config.command in card
    assert f"{quality.explained_variance:.3f}" in card
    assert json.loads((out / "quality.json").read_text()) == quality.as_dict()


def test_the_same_seed_trains_the_same_sae(gpt2_model, config, trained, tmp_path):
    train_sae(gpt2_model, config, tmp_path / "again")
    (one,) = load_saes(str(trained[0])).values()
    (other,) = load_saes(str(tmp_path / "again")).values()
    assert one.sha256() == other.sha256()


def test_an_sae_of_attention_is_as_wide_as_its_heads(load_tiny, config, tmp_path):
    short = replace(config, site="z.1", tokens=32, held_out_tokens=32)
    quality = train_sae(load_tiny("gemma2"), short, tmp_path / "z")
    (dictionary,) = load_saes(str(tmp_path / "z")).values()
    assert str(dictionary.site) == "z.1"
    assert (dictionary.d_in, dictionary.d_sae) == (48, 4 * 48)
    assert quality.tokens > 0


def test_quality_against_its_definition(gpt2_model, config, trained):
    (dictionary,) = load_saes(str(trained[0])).values()
    contexts = list(
        islice(pack(documents(config.held_out, gpt2_model, 0), gpt2_model.tokenizer, 16), 20)
    )
    ids = torch.cat(contexts)
    whole = read_sites(gpt2_model, [SITE], ids)[0][SITE]
    keep = ordinary(whole, ids, gpt2_model)
    x = whole[keep]
    rebuilt = dictionary.decode(dictionary.encode(x))
    left = (x - rebuilt).square().sum() / (x - x.mean(0)).square().sum()
    quality = measure_quality(gpt2_model, dictionary, contexts)
    assert quality.tokens == len(x)
    assert quality.explained_variance == pytest.approx(1 - left.item(), abs=1e-4)

    def loss(change):
        with at_sites(gpt2_model, {SITE: lambda x: change(x) * keep[..., None]}), torch.no_grad():
            logits = gpt2_model.hf(input_ids=ids).logits
        return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())

    clean, zero = loss(torch.zeros_like), loss(torch.neg)
    spliced = loss(lambda x: dictionary.decode(dictionary.encode(x)) - x)
    assert quality.cross_entropy == pytest.approx(clean.item(), abs=1e-4)
    assert quality.cross_entropy_recovered == pytest.approx(
        ((zero - spliced) / (zero - clean)).item(), abs=1e-3
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"site": "resid_pre.9"}, "has no site resid_pre.9"),
        ({"arch": "top"}, "Unknown SAE architecture 'top'. Did you mean 'topk'?"),
        ({"k": 999}, "--k 999 is more than the SAE's 128 features"),
        ({"context": 999}, "reads at most 64 tokens"),
        ({"held_out": "nowhere.txt"}, "No text at nowhere.txt"),
        ({"data": "nowhere.txt"}, "No text at nowhere.txt"),
        ({"tokens": 999_999}, "fewer than --tokens 999,999 asks for"),
        ({"tokens": 3}, "less than one batch of 16"),
    ],
)
def test_bad_input_is_one_sentence(gpt2_model, config, tmp_path, change, sentence):
    with pytest.raises(InputError, match=sentence):
        train_sae(gpt2_model, replace(config, **change), tmp_path / "sae")
    assert list(tmp_path.iterdir()) == []
