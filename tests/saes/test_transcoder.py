"""Transcoders: what SAELens computes, by the formula too, or a sentence why they cannot be used."""

import json
import warnings

import pytest
import torch
from sae_lens import SAE
from safetensors.torch import load_file

from relp_sae.errors import InputError
from relp_sae.models import at_sites, read_sites
from relp_sae.records import Site
from relp_sae.saes import load_saes, reconstructed, require_fit, spliced

ARCHITECTURES = (
    "transcoder",
    "skip_transcoder",
    "jumprelu_transcoder",
    "jumprelu_skip_transcoder",
)
NORMALISATIONS = ["none", "constant_norm_rescale", "layer_norm"]
READS, WRITES = Site(1, "mlp_in"), Site(1, "mlp_out")
IDS = torch.tensor([[0, 17, 45, 99, 17, 8], [0, 3, 150, 12, 80, 31]])


def loaded(folder, dtype="float64"):
    (dictionary,) = load_saes(str(folder), dtype=dtype).values()
    return dictionary


def activations(width=32):
    """Two prompts of five positions, off the origin, with a mean that is not zero."""
    draw = torch.Generator().manual_seed(7)
    return 2 * torch.randn(2, 5, width, generator=draw, dtype=torch.float64) + 0.7


def sae_lens_own(folder):
    """The transcoder as SAELens loads it, untouched by us."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # advice for TransformerLens users
        return SAE.load_from_disk(folder, dtype="float64")


@pytest.fixture(params=ARCHITECTURES)
def architecture(request):
    return request.param


@torch.no_grad()
@pytest.mark.parametrize("d_out", [32, 20])
def test_the_formula(transcoder_folder, architecture, d_out):
    """W_dec a(W_enc x + b_enc) + b_dec + W_skip x, a = ReLU above a threshold."""
    folder = transcoder_folder("mlp_in.1", "mlp_out.1", architecture, d_out=d_out)
    w = {k: v.double() for k, v in load_file(folder / "sae_weights.safetensors").items()}
    dictionary, x = loaded(folder), activations()
    pre = x @ w["W_enc"] + w["b_enc"]
    threshold = w.get("threshold", torch.zeros(64, dtype=torch.float64))
    features = torch.where(pre > threshold, pre, 0).relu()
    code = dictionary.encode(x)
    torch.testing.assert_close(code.features, features, rtol=0, atol=1e-12)
    assert 0 < (features != 0).sum() < features.numel()
    offset = w["b_dec"].expand(2, 5, -1)
    if "skip" in architecture:
        offset = offset + x @ w["W_skip"].T
    torch.testing.assert_close(code.offset, offset, rtol=0, atol=1e-12)
    made = dictionary.decode(code)
    assert made.shape == (2, 5, d_out)
    torch.testing.assert_close(made, features @ w["W_dec"] + offset, rtol=0, atol=1e-12)
    torch.testing.assert_close(made, sae_lens_own(folder)(x), rtol=0, atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_normalised_reading_is_sae_lens_own(transcoder_folder, architecture, normalisation):
    """The output is not scaled back, so the features carry no factor; nothing is kept between."""
    config = {"normalize_activations": normalisation}
    folder = transcoder_folder("mlp_in.1", "mlp_out.1", architecture, **config)
    dictionary, x = loaded(folder), activations()
    code = dictionary.encode(x)
    dictionary.encode(3 * x.flip(1) - 1)
    own = sae_lens_own(folder)
    torch.testing.assert_close(dictionary.decode(code), own(x), rtol=0, atol=1e-12)
    torch.testing.assert_close(code.features, own.encode(x), rtol=0, atol=1e-12)
    assert torch.equal(code.features, dictionary.encode(x).features)


def test_what_it_says_of_itself(transcoder_folder, architecture):
    folder = transcoder_folder("mlp_in.1", "mlp_out.1", architecture)
    (site,) = saes = load_saes(str(folder))
    dictionary = saes[site]
    assert (dictionary.reads, dictionary.site, site) == (READS, WRITES, WRITES)
    assert (dictionary.d_in, dictionary.d_sae, tuple(dictionary.W_dec.shape)) == (32, 64, (64, 32))
    assert dictionary.model_name == "tiny"
    assert not any(weight.requires_grad for weight in dictionary.sae.parameters())
    assert dictionary.sha256() == loaded(folder, "float32").sha256()


@torch.no_grad()
def test_the_mean_comes_off_where_centred_weights_take_it_off(transcoder_folder):
    """TransformerLens centres what is written to the stream, not what a norm makes of it."""
    metadata = {"model_from_pretrained_kwargs": {"center_writing_weights": True}}
    x = activations()
    for reads, centred in (("resid_mid.1", True), ("mlp_in.1", False), ("z.1", False)):
        folder = transcoder_folder(reads, "mlp_out.1", "skip_transcoder", metadata=metadata)
        seen = x - x.mean(-1, keepdim=True) if centred else x
        dictionary = loaded(folder)
        made = dictionary.decode(dictionary.encode(x))
        torch.testing.assert_close(made, sae_lens_own(folder)(seen), rtol=0, atol=1e-12)


# In the model


@torch.no_grad()
def test_the_identity_edit_changes_nothing(model64, transcoder_folder, architecture):
    dictionary = loaded(transcoder_folder("mlp_in.1", "mlp_out.1", architecture))
    plain = model64.last_logits(IDS)
    with spliced(model64, dictionary, lambda features: features):
        assert torch.equal(model64.last_logits(IDS), plain)


@torch.no_grad()
def test_an_edited_feature_is_its_delta_times_its_row_where_it_writes(
    model64, transcoder_folder, architecture
):
    dictionary = loaded(transcoder_folder("mlp_in.1", "mlp_out.1", architecture))
    seen, plain = read_sites(model64, [READS], IDS)
    features = dictionary.encode(seen[READS]).features
    at = next(at for at in features.nonzero().tolist() if at[1] == 4)

    def edit(features):
        edited = features.clone()
        edited[tuple(at)] = 0
        return edited

    with spliced(model64, dictionary, edit):
        logits = model64.last_logits(IDS)
    step = torch.zeros(2, 6, 32, dtype=torch.float64)
    step[at[0], at[1]] = -features[tuple(at)] * dictionary.W_dec[at[2]]
    with at_sites(model64, {WRITES: lambda _x: step}):
        expected = model64.last_logits(IDS)
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-11)
    assert (logits - plain).abs().max() > 1e-3
    assert torch.equal(model64.last_logits(IDS), plain)


@torch.no_grad()
def test_reconstruction_replaces_the_mlp(model64, transcoder_folder, architecture):
    folder = transcoder_folder("mlp_in.1", "mlp_out.1", architecture)
    dictionary, own = loaded(folder), sae_lens_own(folder)
    mlp, seen = model64.in_block(1, model64.family.mlp), []

    def replaced(_module, args, out):
        seen.append(out)
        made = own(args[0])
        made[:, :3] = out[:, :3]
        return made

    handle = mlp.register_forward_hook(replaced)
    try:
        expected = model64.last_logits(IDS)
    finally:
        handle.remove()
    with reconstructed(model64, dictionary, start=3):
        logits = model64.last_logits(IDS)
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-10)
    assert (logits - model64.last_logits(IDS)).abs().max() > 1e-2


def test_one_that_fits(model, transcoder_folder, architecture):
    require_fit(loaded(transcoder_folder("mlp_in.1", "mlp_out.1", architecture), "float32"), model)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"d_in": 24}, r"has d_in = 24, but .* is 32 wide at mlp_in\.1: this SAE is for another"),
        ({"d_out": 20}, r"has d_out = 20, but .* is 32 wide at mlp_out\.1: this SAE is for"),
    ],
)
def test_one_of_other_widths(model, transcoder_folder, config, sentence):
    folder = transcoder_folder("mlp_in.1", "mlp_out.1", **config)
    with pytest.raises(InputError, match=sentence):
        require_fit(loaded(folder, "float32"), model)


@pytest.mark.parametrize(
    ("reads", "writes", "missing"),
    [("mlp_in.3", "mlp_out.3", "mlp_in.3"), ("mlp_in.1", "mlp_out.4", "mlp_out.4")],
)
def test_sites_beyond_the_model(model, transcoder_folder, reads, writes, missing):
    dictionary = loaded(transcoder_folder(reads, writes), "float32")
    with pytest.raises(InputError, match=rf"has no site {missing}: its layers are 0 to 2"):
        require_fit(dictionary, model)


# Metadata


def with_metadata(folder, **changes):
    path = folder / "cfg.json"
    config = json.loads(path.read_text())
    config["metadata"] |= changes
    path.write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("name", [None, ""])
def test_one_that_does_not_say_where_it_writes(transcoder_folder, architecture, name):
    folder = transcoder_folder("mlp_in.1", "mlp_out.1", architecture, d_out=20)
    with_metadata(folder, hook_name_out=name)
    with pytest.raises(InputError) as raised:
        load_saes(str(folder))
    assert str(raised.value) == (
        f"{folder} maps mlp_in.1 (32 dimensions) to another site (20): a transcoder, not an SAE. "
        "It does not say where it writes: cfg.json has no metadata.hook_name_out."
    )


def test_an_sae_and_a_transcoder_that_write_at_one_site(sae_folder, transcoder_folder):
    folders = [str(sae_folder("mlp_out.1")), str(transcoder_folder("mlp_in.1", "mlp_out.1"))]
    with pytest.raises(InputError, match=r"Two SAEs are given for the site mlp_out\.1; give one"):
        load_saes(folders)
    other = str(transcoder_folder("mlp_in.1", "mlp_out.1"))
    assert set(load_saes([str(sae_folder("mlp_in.1")), other])) == {READS, WRITES}


def test_one_that_writes_before_it_reads(transcoder_folder):
    folder = transcoder_folder("mlp_in.1", "attn_out.1")
    with pytest.raises(InputError, match=r"reads mlp_in\.1 and writes at attn_out\.1, which comes"):
        load_saes(str(folder))


def test_an_sae_that_names_another_site_to_write_at(sae_folder):
    folder = sae_folder("mlp_in.1", metadata={"hook_name_out": "blocks.1.hook_mlp_out"})
    with pytest.raises(InputError, match=r"reads mlp_in\.1 and writes at blocks\.1\.hook_mlp_out,"):
        load_saes(str(folder))
    same = sae_folder("mlp_out.1", metadata={"hook_name_out": "blocks.1.hook_mlp_out"})
    assert list(load_saes(str(same))) == [WRITES]


def test_gemma_scope_2_means_the_mlps_input_behind_the_norm(transcoder_folder):
    """SAELens says hook_mlp_in, which is in front of it, and Hugging Face's name beside it."""
    folder = transcoder_folder("mlp_in.1", "mlp_out.1")
    with_metadata(folder, hook_name="blocks.1.hook_mlp_in")
    with pytest.raises(InputError, match="can mean two sites"):
        load_saes(str(folder))
    with_metadata(folder, hf_hook_name="model.layers.1.pre_feedforward_layernorm.output")
    assert loaded(folder).reads == READS


@pytest.mark.parametrize(
    ("site", "option"), [("mlp_in.1", "fold_ln"), ("z.1", "fold_value_biases")]
)
def test_training_on_a_model_in_which_the_site_is_another(sae_folder, site, option):
    folder = sae_folder(site, metadata={"model_from_pretrained_kwargs": {option: True}})
    with pytest.raises(InputError, match=rf"loaded with {option}=True, in which {site} is another"):
        load_saes(str(folder))
    harmless = sae_folder(site, metadata={"model_from_pretrained_kwargs": {option: False}})
    assert list(map(str, load_saes(str(harmless)))) == [site]


@torch.no_grad()
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("architecture", ["standard", "topk", "jumprelu", "gated"])
def test_an_attention_sae_takes_heads_side_by_side(sae_folder, architecture, normalisation):
    """SAELens joins the heads (hook_z) before it encodes; here they come joined."""
    config = {"reshape_activations": "hook_z", "normalize_activations": normalisation}
    folder = sae_folder("z.1", architecture, d_in=48, **config)
    dictionary, x = loaded(folder), activations(48)
    own = sae_lens_own(folder)
    by_head = own(x.unflatten(-1, (4, 12)))
    assert by_head.shape == (2, 5, 4, 12)
    code = dictionary.encode(x)
    torch.testing.assert_close(dictionary.decode(code), by_head.flatten(2), rtol=0, atol=1e-12)
    assert torch.equal(dictionary.encode(x).features, code.features)
    assert code.features.any()
