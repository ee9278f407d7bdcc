"""What SAELens' registry says beside the files: scales to fold, centred streams, whose SAE it is.

SAELens' own loaders run; only the download is replaced by a folder.
"""

import json

import pytest
import torch
from sae_lens.loading import pretrained_sae_loaders as loaders
from sae_lens.loading.pretrained_saes_directory import (
    get_norm_scaling_factor,
    get_pretrained_saes_directory,
)
from safetensors.torch import load_file

from relp_sae.catalogue import releases
from relp_sae.saes import load_saes

CENTRED = ("gpt2-small-mlp-tm", "gpt2-small-res-jb", "gpt2-small-res-jb-feature-splitting")


@pytest.fixture
def publish(monkeypatch):
    """``publish(folder)``: every file asked of the Hub is the one of that name in ``folder``."""

    def serve(folder):
        def download(repo_id, filename, **_options):
            path = folder / filename.rpartition("/")[2]
            if not path.is_file():
                raise loaders.EntryNotFoundError(f"{repo_id} has no {filename}")
            return str(path)

        monkeypatch.setattr(loaders, "hf_hub_download", download)

    return serve


def old_config(folder, **changes):
    """cfg.json as SAELens wrote it before version 6, which knew nothing of metadata."""
    path = folder / "cfg.json"
    config = json.loads(path.read_text())
    metadata = config.pop("metadata")
    config |= {"hook_point": metadata["hook_name"], "model_name": "gpt2-small"}
    path.write_text(json.dumps(config | changes))


@torch.no_grad()
def test_a_scale_of_training_is_folded(publish, sae_folder):
    """expected_average_only_in: the SAE sees s x, and its reconstruction is divided by s."""
    release, sae_id = "gpt2-small-mlp-tm", "blocks.4.hook_mlp_out"
    s = get_norm_scaling_factor(release, sae_id)
    assert s is not None
    assert abs(s - 1) > 0.1
    folder = sae_folder("mlp_out.4", "standard")
    old_config(folder, normalize_activations="expected_average_only_in")
    publish(folder)
    (sae,) = load_saes(f"{release}/{sae_id}", dtype="float64").values()
    w = {
        name: value.double()
        for name, value in load_file(folder / "sae_weights.safetensors").items()
    }
    x = torch.randn(2, 5, 32, dtype=torch.float64) + 0.5
    centred = x - x.mean(-1, keepdim=True)  # this release is of the centred stream besides
    features = ((s * centred - w["b_dec"]) @ w["W_enc"] + w["b_enc"]).relu()
    code = sae.encode(x)
    torch.testing.assert_close(code.features, features)
    torch.testing.assert_close(sae.decode(code), (features @ w["W_dec"] + w["b_dec"]) / s)
    torch.testing.assert_close(sae.W_dec, w["W_dec"] / s)


@torch.no_grad()
@pytest.mark.parametrize("release", CENTRED)
def test_the_registry_says_that_a_stream_was_centred(publish, sae_folder, release):
    """The files of these releases do not say it, so a copy of them on disk is not centred."""
    folder = sae_folder("resid_pre.8", "standard")
    old_config(folder)
    publish(folder)
    sae_id = releases()[release].saes[-2].id
    (sae,) = load_saes(f"{release}/{sae_id}").values()
    assert sae.centred
    assert sae.model_name == "gpt2-small"
    (copy,) = load_saes(str(folder)).values()
    assert not copy.centred
    x = torch.randn(1, 4, 32)
    shifted = sae.encode(x + 3).features
    torch.testing.assert_close(shifted, sae.encode(x).features, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(copy.encode(x + 3).features, copy.encode(x).features, atol=0.1)


def test_every_centred_release_of_the_registry_is_of_gpt2():
    """Another one would be a model whose norms centre, or the adapter has to learn more."""
    found = {
        name: one.model
        for name, one in get_pretrained_saes_directory().items()
        if ((one.config_overrides or {}).get("model_from_pretrained_kwargs") or {})
        == {"center_writing_weights": True}
    }
    assert found == dict.fromkeys(CENTRED, "gpt2-small")
