"""Every SAE that SAELens can load: ours computes what it does, or it is refused with a reason."""

import warnings

import pytest
import torch
from sae_lens import SAE
from sae_lens.registry import SAE_CLASS_REGISTRY, get_sae_training_class
from sae_lens.saes.sae import SAEMetadata
from safetensors.torch import load_file

from relp_sae.errors import InputError
from relp_sae.records import Site
from relp_sae.saes import Code, load_saes

SAES = {
    "standard": {},
    "gated": {},
    "topk": {},
    "abstopk": {},
    "jumprelu": {},
    "matching_pursuit": {"max_iterations": 5},
}
"""Architecture -> what its configuration needs."""

TRANSCODERS = (
    "transcoder",
    "skip_transcoder",
    "jumprelu_transcoder",
    "jumprelu_skip_transcoder",
)
"""See test_transcoder.py."""

REFUSED = {
    "temporal": ({"n_heads": 1, "bottleneck_factor": 8, "kval_topk": 8}, "no linear decoder"),
}

NORMALISATIONS = ["none", "constant_norm_rescale", "layer_norm"]

VARIANTS = [
    *(
        (architecture, {"normalize_activations": n})
        for architecture in SAES
        for n in NORMALISATIONS
    ),
    *(
        ("topk", {"normalize_activations": n, "rescale_acts_by_decoder_norm": True})
        for n in NORMALISATIONS
    ),
    ("abstopk", {"rescale_acts_by_decoder_norm": True}),
    ("standard", {"apply_b_dec_to_input": False}),
]


def described(variant):
    return variant if isinstance(variant, str) else "-".join(map(str, variant.values()))


def activations(dtype=torch.float32):
    """Two prompts of five positions, off the origin, with a mean that is not zero."""
    x = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    return (2 * x + 0.7).to(dtype)


def sae_lens_own(folder, dtype="float32"):
    """The SAE as SAELens loads it, untouched by us."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # advice for TransformerLens users
        return SAE.load_from_disk(folder, dtype=dtype)


@pytest.fixture(params=VARIANTS, ids=lambda v: f"{v[0]}-{described(v[1])}")
def folder(request, sae_folder):
    """An SAE of each variant in turn."""
    architecture, config = request.param
    return sae_folder(architecture=architecture, **SAES[architecture], **config)


def loaded(folder, dtype="float32"):
    (dictionary,) = load_saes(str(folder), dtype=dtype).values()
    return dictionary


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@torch.no_grad()
def test_the_reconstruction_is_sae_lens_own(folder, dtype):
    dictionary, sae = loaded(folder, dtype), sae_lens_own(folder, dtype)
    x = activations(getattr(torch, dtype))
    tolerance = 1e-12 if dtype == "float64" else 2e-5
    expected = sae(x)
    torch.testing.assert_close(
        dictionary.decode(dictionary.encode(x)), expected, rtol=tolerance, atol=tolerance
    )
    assert (expected - x).norm() > 0.05 * x.norm()  # there is an error term to speak of


@torch.no_grad()
def test_the_active_features_are_sae_lens_own(folder):
    dictionary, sae, x = loaded(folder), sae_lens_own(folder), activations()
    code, own = dictionary.encode(x), sae.encode(x)
    assert torch.equal(code.features != 0, own != 0)
    assert 0 < (own != 0).sum() < own.numel()


@torch.no_grad()
def test_a_feature_adds_its_row_of_w_dec_wherever_x_is(folder):
    """Raise one feature in SAELens' own unit: its decoder moves by our feature's step."""
    dictionary, sae, x = loaded(folder, "float64"), sae_lens_own(folder, "float64"), activations()
    x = x.double()
    code, own = dictionary.encode(x), sae.encode(x)
    at = tuple(own.nonzero()[3].tolist())
    raised = own.clone()
    raised[at] *= 1.5
    before = sae.decode(own.clone())
    sae.encode(x)  # SAELens keeps x's norm from here for the next decode only
    moved = sae.decode(raised) - before
    step = 0.5 * code.features[at] * dictionary.W_dec[at[-1]]
    expected = torch.zeros_like(moved)
    expected[at[:2]] = step
    torch.testing.assert_close(moved, expected, rtol=0, atol=1e-12)
    assert step.norm() > 1e-3


@torch.no_grad()
def test_encoding_keeps_no_state(folder):
    dictionary, x = loaded(folder), activations()
    other = 3 * x.flip(1) - 1
    first, second = dictionary.encode(x), dictionary.encode(other)
    one, two = dictionary.decode(first), dictionary.decode(second)
    assert torch.equal(dictionary.decode(first), one)
    for given, reconstruction in ((x, one), (other, two)):
        again = dictionary.encode(given)
        assert torch.equal(dictionary.decode(again), reconstruction)
        alone = loaded(dictionary.source).encode(given)
        assert torch.equal(alone.features, again.features)


@torch.no_grad()
def test_decoding_is_features_times_w_dec_plus_the_offset(folder):
    dictionary, x = loaded(folder, "float64"), activations(torch.float64)
    code = dictionary.encode(x)
    assert dictionary.W_dec.shape == (dictionary.d_sae, 32) == (64, 32)
    assert code.features.shape == (2, 5, 64)
    assert torch.equal(dictionary.decode(code), code.features @ dictionary.W_dec + code.offset)
    edited = Code(code.features.flip(-1), code.offset)
    moved = dictionary.decode(edited) - dictionary.decode(code)
    by_hand = torch.einsum("bpf,fd->bpd", edited.features - code.features, dictionary.W_dec)
    torch.testing.assert_close(moved, by_hand)


@torch.no_grad()
def test_the_offset_depends_on_x_only_by_its_normalisation(folder):
    dictionary, x = loaded(folder, "float64"), activations(torch.float64)
    offset = dictionary.encode(x).offset
    if dictionary.sae.cfg.normalize_activations == "none":
        expected = dictionary.sae.b_dec.expand_as(offset)
    elif dictionary.sae.cfg.normalize_activations == "layer_norm":
        spread, mean = x.std(-1, keepdim=True), x.mean(-1, keepdim=True)
        expected = dictionary.sae.b_dec * spread + mean
    else:
        expected = dictionary.sae.b_dec * x.norm(dim=-1, keepdim=True) / 32**0.5
    torch.testing.assert_close(offset, expected, rtol=0, atol=1e-12)


def test_weights_ask_for_no_gradients(folder):
    """Features of what asks for them have theirs: tests/error_term."""
    dictionary = loaded(folder)
    code = dictionary.encode(activations())
    assert not dictionary.W_dec.requires_grad
    assert not code.features.requires_grad
    assert not code.offset.requires_grad


def test_the_hash_is_stable_and_notices_a_change(folder, sae_folder):
    dictionary, again = loaded(folder), loaded(folder)
    assert dictionary.sha256() == again.sha256()
    with torch.no_grad():
        again.sae.b_dec[5] += 1e-3
    assert dictionary.sha256() != again.sha256()
    assert dictionary.sha256() != loaded(sae_folder(seed=9)).sha256()


def test_what_it_says_of_itself(folder):
    dictionary = loaded(folder)
    assert dictionary.site == Site(1, "resid_pre")
    assert dictionary.source == str(folder)
    assert dictionary.model_name == "tiny"


@torch.no_grad()
@pytest.mark.parametrize("rescaled", [False, True])
def test_topk_against_its_formula(sae_folder, rescaled):
    """The k largest of (x - b_dec) W_enc + b_enc; by their steps' lengths if so trained."""
    folder = sae_folder(rescale_acts_by_decoder_norm=rescaled)
    w = {
        name: value.double()
        for name, value in load_file(folder / "sae_weights.safetensors").items()
    }
    dictionary, x = loaded(folder, "float64"), activations(torch.float64)
    pre = (x - w["b_dec"]) @ w["W_enc"] + w["b_enc"]
    lengths = w["W_dec"].norm(dim=-1)
    ranked = pre * lengths if rescaled else pre
    kept = ranked >= ranked.sort(-1, descending=True).values[..., 7:8]
    acts = torch.where(kept, pre, 0).relu()
    code = dictionary.encode(x)
    steps = code.features[..., None] * dictionary.W_dec
    torch.testing.assert_close(steps, acts[..., None] * w["W_dec"], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(code.offset, w["b_dec"].expand_as(x), rtol=0, atol=1e-12)
    norms = dictionary.W_dec.norm(dim=-1)
    torch.testing.assert_close(norms, torch.ones_like(norms) if rescaled else lengths)


@torch.no_grad()
@pytest.mark.parametrize("trained", ["batchtopk", "matryoshka_batchtopk"])
@pytest.mark.parametrize("rescaled", [False, True])
def test_an_sae_that_training_saves_as_another_kind(tmp_path, trained, rescaled):
    sae_class, config_class = get_sae_training_class(trained)
    levels = {"matryoshka_widths": [16, 64]} if "matryoshka" in trained else {}
    metadata = SAEMetadata(hook_name="blocks.1.hook_resid_pre")
    shape = {"d_in": 32, "d_sae": 64, "k": 8, "rescale_acts_by_decoder_norm": rescaled, **levels}
    sae = sae_class(config_class(**shape, metadata=metadata))
    draw = torch.Generator().manual_seed(0)
    for weight in sae.parameters():
        weight.copy_(0.3 * torch.randn(weight.shape, generator=draw))
    sae.topk_threshold.fill_(1.5)
    sae.save_inference_model(tmp_path)
    dictionary, x = loaded(tmp_path), activations()
    assert dictionary.sae.cfg.architecture() == "jumprelu"
    expected = sae_lens_own(tmp_path)(x)
    torch.testing.assert_close(dictionary.decode(dictionary.encode(x)), expected)
    pre = (x - sae.b_dec) @ sae.W_enc + sae.b_enc
    scale = sae.W_dec.norm(dim=-1) if rescaled else 1
    assert torch.equal(dictionary.encode(x).features > 0, pre * scale > 1.5)


@torch.no_grad()
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_an_sae_of_the_centred_stream_does_not_see_the_mean(sae_folder, normalisation):
    """gpt2-small-res-jb: trained where every weight that writes to the stream had its mean off."""
    metadata = {"model_from_pretrained_kwargs": {"center_writing_weights": True}}
    folder = sae_folder(metadata=metadata, normalize_activations=normalisation)
    dictionary, sae = loaded(folder, "float64"), sae_lens_own(folder, "float64")
    x = activations(torch.float64)
    centred = x - x.mean(-1, keepdim=True)
    code = dictionary.encode(x)
    torch.testing.assert_close(dictionary.decode(code), sae(centred), rtol=0, atol=1e-12)
    torch.testing.assert_close(code.features, dictionary.encode(x + 5).features)
    plain = loaded(sae_folder(normalize_activations=normalisation), "float64")
    if normalisation != "layer_norm":  # which takes the mean off itself
        assert not torch.allclose(plain.encode(x).features, code.features)


@pytest.mark.parametrize("architecture", SAE_CLASS_REGISTRY)
def test_every_architecture_of_sae_lens_is_decided_on(architecture):
    decided = {*SAES, *TRANSCODERS, *REFUSED}
    assert architecture in decided, "can it be used? Say so at the top of this file"


@pytest.mark.filterwarnings("ignore:.*x_novel")
@pytest.mark.parametrize("architecture", REFUSED)
def test_what_is_no_sae_is_refused(sae_folder, architecture):
    config, sentence = REFUSED[architecture]
    folder = sae_folder(architecture=architecture, **config)
    with pytest.raises(InputError, match=sentence) as raised:
        load_saes(str(folder))
    assert str(folder) in str(raised.value)


@pytest.mark.parametrize("scaling", ["expected_average_only_in", "covariance_whitening"])
def test_a_scaling_of_training_that_was_not_folded(sae_folder, scaling):
    folder = sae_folder(normalize_activations=scaling)
    with pytest.raises(InputError, match=rf"{scaling}\) by a factor that the file does not hold"):
        load_saes(str(folder))


def test_a_decoder_that_is_not_linear(sae_folder, monkeypatch):
    from sae_lens import StandardSAE

    decode = StandardSAE.decode
    monkeypatch.setattr(StandardSAE, "decode", lambda sae, acts: decode(sae, acts.square()))
    with pytest.raises(InputError, match="architecture 'standard' has no linear decoder"):
        load_saes(str(sae_folder(architecture="standard")))


def test_loading_draws_no_random_numbers_of_the_caller(sae_folder):
    folder = str(sae_folder())
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    load_saes(folder)
    assert torch.equal(torch.rand(2), expected)
