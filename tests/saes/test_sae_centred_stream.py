"""SAEs of the centred stream, against TransformerLens' own centred activations.

gpt2-small-res-jb was trained on the stream of a HookedTransformer whose writing weights are
centred, so that the stream has mean 0 at every position. Here the model's stream has a mean, and
the adapter takes it off: what SAELens makes of TransformerLens' activations is what ours makes of
the untouched model's.
"""

import pytest
import torch
from sae_lens import SAE
from transformer_lens import HookedTransformer
from transformer_lens import loading_from_pretrained as transformer_lens_loading
from transformer_lens.model_bridge import TransformerBridge
from transformers import AutoModelForCausalLM, AutoTokenizer

from relp_sae.models import load_model, read_sites
from relp_sae.records import Site
from relp_sae.saes import load_saes, reconstructed, spliced

IDS = torch.tensor([[0, 17, 45, 99, 17, 8]])
SITES = ("resid_pre.0", "resid_pre.2", "resid_mid.1", "resid_post.2", "attn_out.1", "mlp_out.2")
CENTRED = {"model_from_pretrained_kwargs": {"center_writing_weights": True}}


@pytest.fixture(scope="module")
def folder(save_tiny):
    """The tiny GPT-2; the Hub's has ``n_ctx``, which TransformerLens reads."""
    return save_tiny("gpt2", n_ctx=64)


@pytest.fixture(scope="module", params=["HookedTransformer", "TransformerBridge"])
def theirs(request, folder):
    """Activations by hook name, and log-probabilities, of TransformerLens' centred model."""
    hf = AutoModelForCausalLM.from_pretrained(folder).eval()
    options = {"hf_model": hf, "tokenizer": AutoTokenizer.from_pretrained(folder), "device": "cpu"}
    if request.param == "TransformerBridge":
        model = TransformerBridge.boot_transformers(str(folder), **options)
        model.enable_compatibility_mode()
    else:
        config = transformer_lens_loading.AutoConfig
        options["center_writing_weights"] = True
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(config, "from_pretrained", lambda *_args, **_options: hf.config)
            with pytest.warns(DeprecationWarning, match="HookedTransformer"):
                model = HookedTransformer.from_pretrained("gpt2", **options)
    with torch.no_grad():
        logits, cache = model.run_with_cache(IDS)
    return cache, logits.log_softmax(-1)


@pytest.fixture(scope="module")
def ours(folder):
    """The untouched model's activations by site, and the model."""
    model = load_model(str(folder))
    with torch.no_grad():
        seen, _ = read_sites(model, [Site.parse(site) for site in SITES], IDS)
    return seen, model


def sae_lens_own(path):
    with pytest.warns(UserWarning, match="model_from_pretrained_kwargs"):
        return SAE.load_from_disk(path)


@torch.no_grad()
@pytest.mark.parametrize("site", SITES)
def test_ours_on_the_model_is_theirs_on_the_centred_model(ours, theirs, sae_folder, site):
    path = sae_folder(site, "standard", metadata=CENTRED)
    (dictionary,) = load_saes(str(path)).values()
    sae, site = sae_lens_own(path), Site.parse(site)
    x, centred = ours[0][site], theirs[0][site.hook_name]
    assert x.mean(-1).abs().max() > 0.05  # the stream has a mean, which they have not
    torch.testing.assert_close(x - x.mean(-1, keepdim=True), centred, rtol=1e-4, atol=2e-5)

    code, features = dictionary.encode(x), sae.encode(centred)
    torch.testing.assert_close(code.features, features, rtol=1e-4, atol=1e-4)
    assert 0 < (features > 0).sum() < features.numel()
    assert (features - sae.encode(x)).abs().max() > 0.01  # the mean would have mattered
    torch.testing.assert_close(dictionary.decode(code), sae.decode(features), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_the_mean_is_in_the_error_term(ours, sae_folder):
    seen, model = ours
    (dictionary,) = load_saes(str(sae_folder("resid_pre.2", metadata=CENTRED))).values()
    x = seen[Site(2, "resid_pre")]
    error = x - dictionary.decode(dictionary.encode(x))
    plain = x - x.mean(-1, keepdim=True)
    own = plain - dictionary.decode(dictionary.encode(plain))
    torch.testing.assert_close(error - own, x - plain, rtol=0, atol=1e-5)
    before = model.last_logits(IDS)
    with spliced(model, dictionary, lambda features: features):
        torch.testing.assert_close(model.last_logits(IDS), before, rtol=1e-4, atol=1e-4)
    with reconstructed(model, dictionary, 0):  # the mean alone is nothing to LayerNorm
        without_error = model.last_logits(IDS)
    assert not torch.allclose(without_error, before, atol=0.1)


def test_a_centred_sae_of_a_model_that_is_not_centred_is_refused(llama_model, sae_folder):
    """TransformerLens centres nothing where the norms do not, and warns only."""
    from relp_sae.errors import InputError
    from relp_sae.saes import require_fit

    path = sae_folder(metadata=CENTRED)
    (dictionary,) = load_saes(str(path)).values()
    with pytest.raises(InputError, match=f"^{path} says that its stream was centred.*RMSNorm"):
        require_fit(dictionary, llama_model)


def test_a_centred_sae_of_a_model_with_layer_norm_fits(gpt2_model, load_tiny, sae_folder):
    from relp_sae.saes import require_fit

    (dictionary,) = load_saes(str(sae_folder(metadata=CENTRED))).values()
    assert require_fit(dictionary, gpt2_model) is None
    assert require_fit(dictionary, load_tiny("gpt_neox")) is None
