"""Sites that the files do not say, pickles, and weights to refuse."""

import json
import pickle

import pytest
import torch
from sae_lens import SAE
from safetensors.torch import load_file, save_file

from relp_sae.errors import InputError
from relp_sae.records import Site
from relp_sae.saes import load_saes


@pytest.fixture
def folder(sae_folder):
    """A TopK SAE at resid_pre.1 that the test may spoil."""
    return sae_folder()


@pytest.fixture
def siteless(folder):
    """The same without metadata."""
    path = folder / "cfg.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"metadata": {"sae_lens_version": "6.54.0"}}))
    return folder


def the_sae(source, **options):
    (dictionary,) = load_saes(str(source), **options).values()
    return dictionary


def pickled(folder, name="sae_weights.pt", content=None):
    """The folder with its weights as a pickle; returns what was pickled."""
    weights = folder / "sae_weights.safetensors"
    state = load_file(weights)
    weights.unlink()
    torch.save(state if content is None else content(state), folder / name)
    return state


class Harmful:
    """Unpickling this would run code."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was executed",))


# Sites.


def test_an_sae_without_metadata_is_given_its_site(siteless):
    with pytest.raises(
        InputError, match=r"no metadata\.hook_name\. Say it with --site KIND\.LAYER"
    ):
        load_saes(str(siteless))
    assert the_sae(siteless, sites=["blocks.2.hook_mlp_out"]).site == Site(2, "mlp_out")


def test_a_site_that_is_the_saes_own_is_no_contradiction(folder):
    assert the_sae(folder, sites=["resid_pre.1"]).site == Site(1, "resid_pre")


def test_a_site_that_is_not_the_saes_own_is_refused_with_both_names(folder):
    with pytest.raises(InputError) as raised:
        load_saes(str(folder), sites=["resid_post.1"])
    assert str(raised.value) == (
        f"{folder} is an SAE for the site resid_pre.1 (as its metadata say), not for "
        "resid_post.1. Give an SAE that was trained at resid_post.1, or leave the site away."
    )


def test_each_of_several_saes_has_its_site_in_order(siteless, sae_folder):
    other = sae_folder("mlp_out.2")
    saes = load_saes([str(siteless), str(other)], sites=["attn_out.0", "mlp_out.2"])
    assert [(site, one.source) for site, one in saes.items()] == [
        (Site(0, "attn_out"), str(siteless)),
        (Site(2, "mlp_out"), str(other)),
    ]


@pytest.mark.parametrize("sites", [[], ["resid_pre.1", "resid_pre.2"]])
def test_as_many_sites_as_saes(folder, sites):
    with pytest.raises(InputError, match=f"Got {len(sites)} sites for the SAEs {folder}"):
        load_saes(str(folder), sites=sites)


def test_a_release_and_a_folder_do_not_share_sites(folder):
    with pytest.raises(InputError, match="one site for each SAE in the same order, or whole rel"):
        load_saes([str(folder), "gpt2-small-res-jb"], sites=["resid_pre.1", "resid_pre.2"])


@pytest.mark.parametrize(
    ("release", "sentence"),
    [
        ("gpt2-small-res-jb", r"no SAE at mlp_out\.5\. It has them at resid_pre\.0, resid_pre\.1"),
        (
            "gemma-scope-2b-pt-mlp-canonical",
            r"has 2 SAEs at mlp_out\.5: choose one by its ID, such",
        ),
    ],
)
def test_a_release_that_has_not_one_sae_at_the_site(release, sentence):
    with pytest.raises(InputError, match=sentence):
        load_saes(release, sites=["mlp_out.5"])


# Pickles.


@pytest.mark.parametrize("name", ["sae_weights.pt", "ae.pth", "pytorch_model.bin", "sae.pkl"])
def test_a_pickle_is_refused_and_not_opened(folder, name):
    pickled(folder, name, content=lambda _: Harmful())
    with pytest.raises(InputError) as raised:
        load_saes(str(folder))
    sentence = str(raised.value)
    assert sentence.startswith(f"{folder} has no sae_weights.safetensors, only {name}. Pickles can")
    assert "add --allow-pickle (allow_pickle=True in Python" in sentence
    assert "safetensors.torch.save_file(torch.load(FILE, weights_only=True)" in sentence


@torch.no_grad()
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_pickle_that_is_allowed_holds_the_same_sae(sae_folder, nested, dtype):
    safe, other = sae_folder("resid_pre.1"), sae_folder("resid_pre.1")
    pickled(other, content=(lambda state: {"state_dict": state}) if nested else None)
    one, read = the_sae(safe, dtype=dtype), the_sae(other, dtype=dtype, allow_pickle=True)
    assert one.sha256() == read.sha256()
    assert (read.site, read.model_name) == (Site(1, "resid_pre"), "tiny")
    x = torch.randn(1, 4, 32, dtype=getattr(torch, dtype))
    assert torch.equal(one.encode(x).features, read.encode(x).features)


def test_the_advice_converts_a_pickle(sae_folder):
    safe, folder = sae_folder(), sae_folder()
    pickled(folder)
    save_file(
        torch.load(folder / "sae_weights.pt", weights_only=True),
        folder / "sae_weights.safetensors",
    )
    assert the_sae(folder).sha256() == the_sae(safe).sha256()


def test_an_allowed_pickle_of_objects_is_not_executed(folder):
    pickled(folder, content=lambda state: {**state, "cfg": Harmful()})
    with pytest.raises(InputError, match="holds Python objects beside tensors"):
        load_saes(str(folder), allow_pickle=True)
    (folder / "sae_weights.pt").write_bytes(pickle.dumps(Harmful()))
    with pytest.raises(InputError, match=f"^Cannot read the SAE {folder}: "):
        load_saes(str(folder), allow_pickle=True)


@pytest.mark.parametrize(
    "content", [lambda _: torch.ones(3), lambda _: {}, lambda _: {"W_dec": 3}, lambda _: [1]]
)
def test_a_pickle_of_something_else(folder, content):
    pickled(folder, content=content)
    with pytest.raises(InputError, match=r"does not hold the weights of an SAE by name"):
        load_saes(str(folder), allow_pickle=True)


def test_two_pickles_are_one_too_many(folder):
    pickled(folder)
    torch.save({}, folder / "optimizer.pt")
    with pytest.raises(InputError, match=r"several pickles \(optimizer\.pt, sae_weights\.pt\)"):
        load_saes(str(folder), allow_pickle=True)


def test_safetensors_beside_a_pickle_are_what_is_read(folder):
    before = the_sae(folder).sha256()
    (folder / "trainer_state.pt").write_bytes(pickle.dumps(Harmful()))
    assert the_sae(folder).sha256() == before


def test_a_file_is_no_folder(folder):
    path = folder / "sae_weights.safetensors"
    with pytest.raises(InputError) as raised:
        load_saes(str(path))
    assert str(raised.value) == (
        f"{path} is a file; give the folder that holds cfg.json and sae_weights.safetensors."
    )
    pickled(folder)
    with pytest.raises(InputError, match=r"is a file; give the folder.* Pickles can run code"):
        load_saes(str(folder / "sae_weights.pt"))


def test_a_release_of_pickles_is_refused_before_any_download(monkeypatch, folder):
    source = "qwen-scope-3-1.7b-base-w32k-l50/layer3"
    asked = []
    monkeypatch.setattr(
        SAE, "from_pretrained", lambda *a, **_: asked.append(a) or SAE.load_from_disk(folder)
    )
    with pytest.raises(InputError, match=r"\(qwen_scope\) is published as pickles.*--allow-pickle"):
        load_saes(source)
    assert asked == []
    assert the_sae(source, allow_pickle=True).source == source
    assert asked == [tuple(source.split("/"))]


# Weights that are no numbers, and settings that cannot be.


def test_more_active_features_than_there_are(folder):
    path = folder / "cfg.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"k": 65}))
    with pytest.raises(InputError, match=f"^{folder} was read, but cannot encode: .*out of range"):
        load_saes(str(folder))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["W_enc", "W_dec", "b_enc", "b_dec"])
def test_weights_that_are_not_finite(folder, name, value):
    path = folder / "sae_weights.safetensors"
    weights = load_file(path)
    weights[name].view(-1)[3] = value
    save_file(weights, path)
    with pytest.raises(InputError) as raised:
        load_saes(str(folder))
    size = weights[name].numel()
    assert str(raised.value).startswith(
        f"{folder}: 1 of the {size} numbers of {name} are not finite (NaN or infinite) in float32"
    )


def test_weights_that_overflow_in_the_type_asked_for(folder):
    path = folder / "sae_weights.safetensors"
    weights = {name: one.double() for name, one in load_file(path).items()}
    weights["b_enc"][0] = 1e300
    save_file(weights, path)
    with pytest.raises(InputError, match=r"numbers of b_enc are not finite.* in float32"):
        load_saes(str(folder), dtype="float32")
    assert the_sae(folder, dtype="float64").d_sae == 64
