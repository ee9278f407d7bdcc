"""Formats beside SAELens' own folder: EleutherAI's sparsify, and checkpoints of training."""

import json
import warnings

import pytest
import torch
from sae_lens import SAE
from sae_lens.loading.pretrained_sae_loaders import sparsify_disk_loader
from sae_lens.registry import SAE_TRAINING_CLASS_REGISTRY, get_sae_training_class
from sae_lens.saes.sae import SAEMetadata
from safetensors.torch import save_file

from relp_sae.records import Site
from relp_sae.saes import load_saes


def the_sae(folder):
    (dictionary,) = load_saes(str(folder)).values()
    return dictionary


@torch.no_grad()
def test_a_folder_of_sparsify(tmp_path):
    folder = tmp_path / "my-model" / "layers.2"
    folder.mkdir(parents=True)
    draw = torch.Generator().manual_seed(0)
    weights = {
        "encoder.weight": torch.randn(64, 32, generator=draw),
        "encoder.bias": torch.randn(64, generator=draw),
        "W_dec": torch.randn(64, 32, generator=draw).T.contiguous(),
        "b_dec": torch.randn(32, generator=draw),
    }
    save_file(weights, folder / "sae.safetensors")
    (folder / "cfg.json").write_text(json.dumps({"d_in": 32, "num_latents": 64, "k": 8}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        own = SAE.load_from_disk(folder, dtype="float32", converter=sparsify_disk_loader)
    sae, x = the_sae(folder), torch.randn(1, 5, 32, generator=draw)
    assert (sae.site, sae.model_name) == (Site(2, "resid_post"), "my-model")
    code = sae.encode(x)
    torch.testing.assert_close(sae.decode(code), own(x))
    assert ((code.features != 0).sum(-1) <= 8).all()


TRAINED = {
    "abstopk": {"k": 8},
    "matching_pursuit": {"max_iterations": 5, "decoder_init_norm": 1.0},
    "matryoshka_batchtopk": {"matryoshka_widths": [16, 64], "k": 8},
    "batchtopk": {"k": 8},
    "topk": {"k": 8},
}


@torch.no_grad()
@pytest.mark.parametrize("architecture", SAE_TRAINING_CLASS_REGISTRY)
def test_a_checkpoint_is_the_sae_that_training_would_save(tmp_path, architecture):
    sae_class, config_class = get_sae_training_class(architecture)
    metadata = SAEMetadata(hook_name="blocks.1.hook_resid_pre")
    config = {"d_in": 32, "d_sae": 64, **TRAINED.get(architecture, {}), "metadata": metadata}
    sae = sae_class(config_class(**config))
    draw = torch.Generator().manual_seed(0)
    for name, weight in sae.named_parameters():
        noise = torch.randn(weight.shape, generator=draw)
        weight.copy_(noise.abs() if "threshold" in name else 0.3 * noise)
    if hasattr(sae, "topk_threshold"):
        sae.topk_threshold.fill_(1.5)
    sae.save_model(tmp_path / "checkpoint")
    sae.save_inference_model(tmp_path / "end")
    checkpoint, end = (the_sae(tmp_path / name) for name in ("checkpoint", "end"))
    assert checkpoint.sae.cfg.architecture() == end.sae.cfg.architecture()
    x = torch.randn(2, 5, 32, generator=draw)
    torch.testing.assert_close(checkpoint.encode(x).features, end.encode(x).features)
    torch.testing.assert_close(
        checkpoint.decode(checkpoint.encode(x)), SAE.load_from_disk(tmp_path / "end")(x)
    )
    assert (checkpoint.encode(x).features != 0).any()
