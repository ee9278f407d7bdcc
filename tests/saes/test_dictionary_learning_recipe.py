"""The recipe of docs/saes.md for folders of dictionary_learning, against that library's formulas.

Written out here: ``encode`` of each of its classes, on weights under its own names.
"""

import json
from pathlib import Path

import pytest
import torch
from torch import relu

from relp_sae.records import Site
from relp_sae.saes import load_saes

D, N, K = 32, 64, 8


@pytest.fixture(scope="module")
def convert():
    """The function that the document shows."""
    text = (Path(__file__).parents[2] / "docs/saes.md").read_text()
    (block,) = (one for one in text.split("```python\n")[1:] if "def convert(" in one)
    shown = {"__name__": "recipe"}
    exec(block.split("```")[0], shown)
    return shown["convert"]


def linear(w, x, bias):
    return (x - w[bias]) @ w["encoder.weight"].T


def top_k(w, x):
    f = relu(linear(w, x, "b_dec") + w["encoder.bias"])
    top = f.topk(K)
    return torch.zeros_like(f).scatter(-1, top.indices, top.values)


def over_threshold(w, x):
    f = relu(linear(w, x, "b_dec") + w["encoder.bias"])
    return f * (f > w["threshold"])


def matryoshka(w, x):
    f = relu((x - w["b_dec"]) @ w["W_enc"] + w["b_enc"])
    return f * (f > w["threshold"])


def jump_relu(w, x):
    f = x @ w["W_enc"] + w["b_enc"]
    return relu(f * (f > w["threshold"])) * w["W_dec"].norm(dim=1)


def gated(w, x):
    f = linear(w, x, "decoder_bias")
    on, size = f + w["gate_bias"] > 0, relu(w["r_mag"].exp() * f + w["mag_bias"])
    return on * size * w["decoder.weight"].norm(dim=0)


LAYERS = {"encoder.weight": (N, D), "decoder.weight": (D, N)}
MATRICES = {"W_enc": (D, N), "W_dec": (N, D), "b_enc": (N,), "b_dec": (D,)}
TOP_K = {**LAYERS, "encoder.bias": (N,), "b_dec": (D,), "threshold": ()}
CLASSES = {
    "AutoEncoder": (
        {**LAYERS, "encoder.bias": (N,), "bias": (D,)},
        lambda w, x: relu(linear(w, x, "bias") + w["encoder.bias"]),
    ),
    "AutoEncoderNew": (
        {**LAYERS, "encoder.bias": (N,), "decoder.bias": (D,)},
        lambda w, x: relu(x @ w["encoder.weight"].T + w["encoder.bias"]),
    ),
    "AutoEncoderTopK": (TOP_K, top_k),
    "BatchTopKSAE": (TOP_K, over_threshold),
    "MatryoshkaBatchTopKSAE": ({**MATRICES, "threshold": ()}, matryoshka),
    "JumpReluAutoEncoder": ({**MATRICES, "threshold": (N,)}, jump_relu),
    "GatedAutoEncoder": (
        {**LAYERS, "decoder_bias": (D,), "r_mag": (N,), "gate_bias": (N,), "mag_bias": (N,)},
        gated,
    ),
}
"""Class -> the shapes of its weights, and its encode."""


@torch.no_grad()
@pytest.mark.parametrize("name", CLASSES)
def test_features_are_those_of_dictionary_learning(convert, tmp_path, name):
    shapes, encode = CLASSES[name]
    draw = torch.Generator().manual_seed(0)
    w = {one: 0.5 * torch.randn(shape, generator=draw) for one, shape in shapes.items()}
    if "threshold" in w:
        w["threshold"] = w["threshold"].abs()
    if "TopK" in name:
        w["k"] = torch.tensor(K, dtype=torch.int)
    source, target = tmp_path / "theirs", tmp_path / "ours"
    source.mkdir()
    torch.save(w, source / "ae.pt")
    trainer = {"dict_class": name, "layer": 1, "lm_name": "EleutherAI/pythia-70m-deduped"}
    (source / "config.json").write_text(json.dumps({"trainer": trainer, "buffer": {}}))
    convert(source, target)
    ((site, sae),) = load_saes(str(target)).items()
    assert (site, sae.model_name) == (Site(1, "resid_post"), trainer["lm_name"])

    x = torch.randn(1, 5, D, generator=draw)
    expected = encode(w, x)
    assert 0 < (expected != 0).float().mean() < 1
    code = sae.encode(x)
    torch.testing.assert_close(code.features, expected, rtol=1e-4, atol=1e-4)
    rows = w["W_dec"] if "W_dec" in w else w["decoder.weight"].T
    if name in ("JumpReluAutoEncoder", "GatedAutoEncoder"):
        rows = rows / rows.norm(dim=1, keepdim=True)
    bias = next(w[one] for one in ("b_dec", "bias", "decoder_bias", "decoder.bias") if one in w)
    torch.testing.assert_close(sae.decode(code), expected @ rows + bias, rtol=1e-4, atol=1e-4)


def test_another_hook_can_be_named(convert, tmp_path):
    w = {name: torch.ones(shape) for name, shape in CLASSES["AutoEncoder"][0].items()}
    torch.save(w, tmp_path / "ae.pt")
    trainer = {"dict_class": "AutoEncoder", "layer": 1, "lm_name": "gpt2"}
    (tmp_path / "config.json").write_text(json.dumps({"trainer": trainer}))
    convert(tmp_path, tmp_path / "ours", "blocks.3.hook_mlp_out")
    assert list(load_saes(str(tmp_path / "ours"))) == [Site(3, "mlp_out")]
