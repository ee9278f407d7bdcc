"""Linear layers through oneDNN equal the layers themselves, and are given back."""

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from relp_sae.models.products import Products, _product, _weight

LAYERS = [nn.Linear(64, 96), nn.Linear(64, 96, bias=False), Conv1D(96, 64)]


@pytest.mark.parametrize("layer", LAYERS, ids=str)
@torch.no_grad()
def test_the_product_is_the_layer(layer):
    torch.manual_seed(0)
    if layer.bias is not None:
        nn.init.normal_(layer.bias)
    laid_out = torch.ops.mkldnn._reorder_linear_weight(_weight(layer).contiguous(), None)
    for x in (
        torch.randn(1, 7, 64),
        torch.randn(1, 0, 64),
        torch.randn(3, 64),
        torch.randn(2, 9, 64)[:, 4],
        torch.randn(64).expand(1, 3, 64),
        torch.randn(64, 5).T,
    ):
        exact = nn.functional.linear(
            x.double(),
            (layer.weight.T if isinstance(layer, Conv1D) else layer.weight).double(),
            None if layer.bias is None else layer.bias.double(),
        )
        for weight in (_weight(layer), laid_out):
            found = _product(weight, layer.bias)(x).double()
            torch.testing.assert_close(found, exact, rtol=1e-5, atol=1e-5)


def test_layers_from_a_block_on_are_replaced_for_a_while(family, load_tiny):
    model = load_tiny(family, "float32")
    replaced = [
        [part for part in block.modules() if type(part) in (nn.Linear, Conv1D)]
        for block in model.blocks
    ]
    with Products(None).faster(model, slice(1, None)):
        assert not any("forward" in vars(part) for part in replaced[0])
        assert replaced[1]
        assert all("forward" in vars(part) for part in replaced[1])
    assert not any("forward" in vars(part) for part in model.hf.modules())


def test_float64_and_layers_that_something_took_over_are_left_alone(load_tiny):
    with Products(None).faster(model := load_tiny("llama", "float64"), slice(None)):
        assert not any("forward" in vars(part) for part in model.hf.modules())
    model = load_tiny("llama", "float32")
    part = next(part for part in model.blocks[0].modules() if type(part) is nn.Linear)
    part.forward = taken_over = lambda x: x
    try:
        with Products(None).faster(model, slice(None)):
            assert part.forward is taken_over
        assert part.forward is taken_over
    finally:
        del part.forward


def test_weights_are_laid_out_once_and_within_the_budget(load_tiny):
    model = load_tiny("llama", "float32")
    block = sum(x.weight.nbytes for x in model.blocks[0].modules() if type(x) is nn.Linear)
    for memory, copied in ((8 * block, 2 * block), (8 * block - 1, 0)):
        products = Products(memory)
        for _ in range(2):
            with products.faster(model, slice(model.n_layers - 2, None)):
                pass
        assert sum(layer.weight.nbytes for layer in products._laid_out) == copied


@torch.no_grad()
def test_a_weight_that_changed_is_laid_out_anew(load_tiny):
    model = load_tiny("llama", "float32")
    layer = model.in_block(0, "mlp.down_proj")
    x, products = torch.randn(1, 5, layer.in_features), Products(None)
    try:
        for factor in (2.0, 0.5):
            with products.faster(model, slice(None)):
                pass
            layer.weight *= factor
            with products.faster(model, slice(None)):
                found = layer(x)
            torch.testing.assert_close(found, layer(x), rtol=1e-5, atol=1e-5)
    finally:
        assert torch.isfinite(layer.weight).all()
