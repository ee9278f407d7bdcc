"""Putting an SAE into the forward pass: the identity edit is none, and an edit is its step."""

import pytest
import torch

from relp_sae.errors import InputError
from relp_sae.models import at_sites, read_sites
from relp_sae.records import Site
from relp_sae.records.site import KINDS
from relp_sae.saes import load_saes, reconstructed, spliced

IDS = torch.tensor([[0, 17, 45, 99, 17, 8], [0, 3, 150, 12, 80, 31]])
NORMALISATIONS = ["none", "constant_norm_rescale", "layer_norm"]


@pytest.fixture(params=KINDS)
def site(request):
    """Each kind of site in the middle of the model."""
    return Site(1, request.param)


@pytest.fixture(params=NORMALISATIONS)
def dictionary(request, site, sae_folder):
    """A TopK SAE there, float64, of each normalisation."""
    folder = sae_folder(str(site), normalize_activations=request.param)
    return load_saes(str(folder), dtype="float64")[site]


def hook_count(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.hf.modules())


@torch.no_grad()
def test_the_identity_edit_changes_nothing(model64, dictionary):
    plain = model64.last_logits(IDS)
    with spliced(model64, dictionary, lambda features: features):
        assert torch.equal(model64.last_logits(IDS), plain)
    with spliced(model64, dictionary, lambda features: features.clone() + 0.0):
        torch.testing.assert_close(model64.last_logits(IDS), plain, rtol=0, atol=1e-12)


@torch.no_grad()
def test_an_edited_feature_is_its_delta_times_its_row(model64, dictionary):
    seen, plain = read_sites(model64, [dictionary.site], IDS)
    features = dictionary.encode(seen[dictionary.site]).features
    batch, pos, feature = next(at for at in features.nonzero().tolist() if at[1] == 4)

    def edit(features):
        edited = features.clone()
        edited[batch, pos, feature] = 0
        return edited

    with spliced(model64, dictionary, edit):
        logits = model64.last_logits(IDS)
    step = torch.zeros_like(seen[dictionary.site])
    step[batch, pos] = -features[batch, pos, feature] * dictionary.W_dec[feature]
    with at_sites(model64, {dictionary.site: lambda _x: step}):
        expected = model64.last_logits(IDS)
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-11)
    assert (logits - plain).abs().max() > 1e-3
    untouched = 1 - batch
    torch.testing.assert_close(logits[untouched], plain[untouched], rtol=0, atol=1e-12)


@torch.no_grad()
def test_reconstruction_drops_the_error_term_from_a_position_on(model64, dictionary):
    site = dictionary.site
    seen, plain = read_sites(model64, [site], IDS)
    expected_x = dictionary.decode(dictionary.encode(seen[site]))
    expected_x[:, :3] = seen[site][:, :3]
    with at_sites(model64, {site: lambda x: expected_x - x}):
        expected = model64.last_logits(IDS)
    with reconstructed(model64, dictionary, start=3):
        logits = model64.last_logits(IDS)
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-11)
    assert (logits - plain).abs().max() > 1e-2


@torch.no_grad()
def test_reconstructing_no_position_changes_nothing(model64, dictionary):
    plain = model64.last_logits(IDS)
    with reconstructed(model64, dictionary, start=6):
        assert torch.equal(model64.last_logits(IDS), plain)


@torch.no_grad()
def test_no_hook_is_left_also_after_an_exception(model64, dictionary):
    before, plain = hook_count(model64), model64.last_logits(IDS)

    def broken(_features):
        raise ArithmeticError

    with pytest.raises(ArithmeticError), spliced(model64, dictionary, broken):
        model64.last_logits(IDS)
    with reconstructed(model64, dictionary, start=0):
        model64.last_logits(IDS)
    assert hook_count(model64) == before
    assert torch.equal(model64.last_logits(IDS), plain)


@torch.no_grad()
def test_the_model_keeps_its_gradients_through_a_splice(model64, dictionary):
    """The identity edit is a constant zero: the slope at an earlier site stays the true one."""
    leaf = torch.zeros(2, 6, 32, dtype=torch.float64, requires_grad=True)
    with torch.enable_grad(), at_sites(model64, {Site(0, "resid_pre"): lambda _x: leaf}):
        (true,) = torch.autograd.grad(model64.last_logits(IDS)[:, 3].sum(), leaf)
        with spliced(model64, dictionary, lambda features: features):
            (found,) = torch.autograd.grad(model64.last_logits(IDS)[:, 3].sum(), leaf)
    torch.testing.assert_close(found, true, rtol=0, atol=1e-12)


def test_a_site_beyond_the_model(model64, sae_folder):
    (dictionary,) = load_saes(str(sae_folder("mlp_out.7")), dtype="float64").values()
    with (
        pytest.raises(InputError, match=r"no site mlp_out\.7"),
        spliced(model64, dictionary, lambda features: features),
    ):
        pass
