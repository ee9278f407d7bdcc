"""load_saes: what each kind of source means, and a sentence for each way to get it wrong."""

import dataclasses
import json

import pytest
import torch
from sae_lens import SAE
from safetensors.torch import load_file, save_file

from relp_sae.errors import InputError
from relp_sae.records import Site
from relp_sae.saes import load_saes, require_fit


@pytest.fixture
def folder(sae_folder):
    """A TopK SAE that the test may spoil."""
    return sae_folder()


def spoil_config(folder, **changes):
    path = folder / "cfg.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_saes_are_found_by_site(sae_folder):
    folders = [sae_folder("mlp_out.2"), sae_folder("resid_pre.0", "standard")]
    saes = load_saes(map(str, folders))
    assert set(saes) == {Site(2, "mlp_out"), Site(0, "resid_pre")}
    assert all(site == sae.site for site, sae in saes.items())
    assert saes[Site(2, "mlp_out")].source == str(folders[0])
    assert saes[Site(0, "resid_pre")].W_dec.dtype == torch.float32


def test_dtype_of_the_weights(folder):
    (sae,) = load_saes(str(folder), dtype="float64").values()
    assert sae.W_dec.dtype == torch.float64
    stored = load_file(folder / "sae_weights.safetensors")["W_dec"]
    assert torch.equal(sae.W_dec, stored.double())


def test_a_release_of_the_registry(monkeypatch, sae_folder):
    """SAELens is asked for the release and the id, with our device and dtype; no download here."""
    asked, folder = [], sae_folder("resid_pre.8")

    def from_pretrained(release, sae_id, **options):
        asked.append((release, sae_id, options))
        return SAE.load_from_disk(folder)

    monkeypatch.setattr(SAE, "from_pretrained", from_pretrained)
    by_id = load_saes("gpt2-small-res-jb/blocks.8.hook_resid_pre", dtype="float64")
    by_site = load_saes("gpt2-small-res-jb", sites=["resid_pre.8"])
    assert list(by_id) == list(by_site) == [Site(8, "resid_pre")]
    name = ("gpt2-small-res-jb", "blocks.8.hook_resid_pre")
    assert asked == [
        (*name, {"device": "cpu", "dtype": "float64"}),
        (*name, {"device": "cpu", "dtype": "float32"}),
    ]


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (
            "gpt2-small-res-jp",
            r"Unknown SAE 'gpt2-small-res-jp'\. Did you mean 'gpt2-small-res-jb'",
        ),
        ("smollm2-135m-topq", r"Did you mean 'smollm2-135m-topk'\? "),
        ("./no/such/folder", r"Unknown SAE './no/such/folder'\. Give a bundled name \(smollm2"),
        ("", "Unknown SAE ''. Give a bundled name"),
        ("gpt2-small-res-jb", r"Release gpt2-small-res-jb has no SAE ''\. It has \d+, such as bl"),
        (
            "gpt2-small-res-jb/blocks.8.hook_resid_prep",
            r"has no SAE 'blocks\.8\.hook_resid_prep'\. Did you mean 'blocks\.8\.hook_resid_pre'\?",
        ),
        ("gpt2-small-res-jb/blocks.99.hook_resid_pre", "has no SAE 'blocks.99.hook_resid_pre'"),
    ],
)
def test_a_name_that_is_not_known(source, sentence):
    with pytest.raises(InputError, match=sentence):
        load_saes(source)


def test_a_download_that_fails(monkeypatch):
    def from_pretrained(*_args, **_options):
        raise OSError("We couldn't connect to 'https://huggingface.co'\nand more of this")

    monkeypatch.setattr(SAE, "from_pretrained", from_pretrained)
    with pytest.raises(InputError) as raised:
        load_saes("gpt2-small-res-jb/blocks.8.hook_resid_pre")
    assert str(raised.value) == (
        "Cannot read the SAE gpt2-small-res-jb/blocks.8.hook_resid_pre: "
        "We couldn't connect to 'https://huggingface.co'"
    )


@pytest.mark.parametrize("site", ["resid_pre", "blocks.1.hook_q", "attn.1"])
def test_a_site_that_cannot_be_read(site):
    with pytest.raises(InputError, match=f"Cannot read the site '{site}'"):
        load_saes("gpt2-small-res-jb", sites=[site])


@pytest.mark.parametrize("name", ["cfg.json", "sae_weights.safetensors"])
def test_a_folder_that_lacks_a_file(folder, name):
    (folder / name).unlink()
    with pytest.raises(InputError, match=f"is not a SAELens SAE: the folder has no {name}"):
        load_saes(str(folder))


def cut_weights(folder):
    path = folder / "sae_weights.safetensors"
    path.write_bytes(path.read_bytes()[:3000])


def empty_weights(folder):
    (folder / "sae_weights.safetensors").write_bytes(b"")


def weights_of_something_else(folder):
    save_file({"weight": torch.ones(2)}, folder / "sae_weights.safetensors")


def one_weight_missing(folder):
    path = folder / "sae_weights.safetensors"
    weights = load_file(path)
    del weights["b_enc"]
    save_file(weights, path)


def garbage_config(folder):
    (folder / "cfg.json").write_text("{")


def empty_config(folder):
    (folder / "cfg.json").write_text("")


def list_config(folder):
    (folder / "cfg.json").write_text("[]")


def text_config(folder):
    (folder / "cfg.json").write_text('"topk"')


def binary_config(folder):
    (folder / "cfg.json").write_bytes(b"\xff\xfe\x00")


def another_width(folder):
    spoil_config(folder, d_sae=63)


def unknown_architecture(folder):
    spoil_config(folder, architecture="topq")


def no_width(folder):
    config = json.loads((folder / "cfg.json").read_text())
    del config["d_in"]
    (folder / "cfg.json").write_text(json.dumps(config))


def unknown_scaling(folder):
    spoil_config(folder, normalize_activations="by hand")


def metadata_of_another_type(folder):
    spoil_config(folder, metadata=["blocks.1.hook_resid_pre"])


SPOILERS = [
    *(cut_weights, empty_weights, weights_of_something_else, one_weight_missing),
    *(garbage_config, empty_config, list_config, text_config, binary_config, another_width),
    *(unknown_architecture, no_width, unknown_scaling, metadata_of_another_type),
]


@pytest.mark.parametrize("spoil", SPOILERS, ids=lambda spoil: spoil.__name__)
def test_a_folder_that_cannot_be_read(folder, spoil):
    spoil(folder)
    with pytest.raises(InputError) as raised:
        load_saes(str(folder))
    sentence = str(raised.value)
    assert sentence.startswith(f"Cannot read the SAE {folder}: ")
    assert "\n" not in sentence
    assert len(sentence) > len(str(folder)) + 30  # it ends with a reason


@pytest.mark.parametrize("metadata", [{}, {"hook_name": None}, {"hook_name": ""}, {"hook_name": 7}])
def test_an_sae_that_does_not_say_its_site(folder, metadata):
    spoil_config(folder, metadata=metadata | {"sae_lens_version": "6.54.0"})
    with pytest.raises(InputError, match="does not say its site: cfg"):
        load_saes(str(folder))


@pytest.mark.parametrize("name", ["blocks.1.attn.hook_q", "blocks.1.hook_resid"])
def test_an_sae_of_a_site_that_we_do_not_have(folder, name):
    spoil_config(folder, metadata={"hook_name": name, "sae_lens_version": "6.54.0"})
    with pytest.raises(InputError, match=f"^{folder}: Cannot read the site '{name}'"):
        load_saes(str(folder))


def test_a_hugging_face_site_is_a_blocks_output(folder):
    metadata = {"hook_name": "model.layers.1", "sae_lens_version": "6.54.0"}
    spoil_config(folder, metadata=metadata)
    assert list(load_saes(str(folder))) == [Site(1, "resid_post")]


@pytest.mark.parametrize("device", ["cuda:99", "gpu"])
def test_a_device_that_is_not_here(folder, device):
    with pytest.raises(InputError, match="Cannot read the SAE"):
        load_saes(str(folder), device=device)


def test_an_unknown_dtype(folder):
    with pytest.raises(InputError, match="float33"):
        load_saes(str(folder), dtype="float33")


def test_two_saes_for_one_site(sae_folder):
    folders = [str(sae_folder("mlp_out.1")), str(sae_folder("mlp_out.1", "standard"))]
    with pytest.raises(InputError) as raised:
        load_saes(folders)
    assert str(raised.value) == (
        f"Two SAEs are given for the site mlp_out.1; give one: {folders[0]} or {folders[1]}."
    )


def the_sae(folder, **options):
    (dictionary,) = load_saes(str(folder), **options).values()
    return dictionary


def test_a_fitting_sae(model, sae_folder):
    assert require_fit(the_sae(sae_folder("mlp_out.2")), model) is None


def test_a_site_beyond_the_model(model, sae_folder):
    folder = sae_folder("resid_pre.3")
    with pytest.raises(InputError) as raised:
        require_fit(the_sae(folder), model)
    assert str(raised.value) == (
        f"{folder} is for the site resid_pre.3. {model.name} has no site resid_pre.3: its layers "
        "are 0 to 2."
    )


def test_a_site_that_parallel_blocks_have_not(load_tiny, sae_folder):
    folder = sae_folder("resid_mid.1")
    with pytest.raises(InputError, match=f"^{folder} is for the site resid_mid.1. .*side by side"):
        require_fit(the_sae(folder), load_tiny("gpt_neox"))


def test_an_sae_for_another_width(model, sae_folder):
    folder = sae_folder(d_in=24, metadata={"model_name": "pythia-70m"})
    with pytest.raises(InputError) as raised:
        require_fit(the_sae(folder), model)
    wide = f"{folder} has d_in = 24, but {model.name} is 32 wide at resid_pre.1"
    assert wide in str(raised.value)
    assert "this SAE is for another model (pythia-70m)" in str(raised.value)
    nameless = sae_folder(d_in=24, metadata={"model_name": None})
    with pytest.raises(InputError, match=r"another model \(unnamed\)"):
        require_fit(the_sae(nameless), model)


def test_an_sae_of_another_dtype(model, sae_folder):
    with pytest.raises(InputError, match=r"is torch\.float64 on cpu.*Load both with the same"):
        require_fit(the_sae(sae_folder(), dtype="float64"), model)


def test_a_dictionary_is_frozen(folder):
    with pytest.raises(dataclasses.FrozenInstanceError):
        the_sae(folder).site = Site(0, "resid_pre")
