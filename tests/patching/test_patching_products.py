"""Linear layers through oneDNN equal the layers themselves, and are given back."""

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from relp_sae.patching.packed.products import _product, faster_products

LAYERS = [nn.Linear(64, 96), nn.Linear(64, 96, bias=False), Conv1D(96, 64)]


@pytest.mark.parametrize("layer", LAYERS, ids=str)
@torch.no_grad()
def test_the_product_is_the_layer(layer):
    torch.manual_seed(0)
    if layer.bias is not None:
        nn.init.normal_(layer.bias)
    product = _product(layer)
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
        torch.testing.assert_close(product(x).double(), exact, rtol=1e-5, atol=1e-5)


def test_layers_from_a_block_on_are_replaced_for_a_while(family, load_tiny):
    model = load_tiny(family, "float32")
    replaced = [
        [part for part in block.modules() if type(part) in (nn.Linear, Conv1D)]
        for block in model.blocks
    ]
    with faster_products(model, 1):
        assert not any("forward" in vars(part) for part in replaced[0])
        assert replaced[1]
        assert all("forward" in vars(part) for part in replaced[1])
    assert not any("forward" in vars(part) for part in model.hf.modules())


def test_float64_and_layers_that_something_took_over_are_left_alone(load_tiny):
    with faster_products(model := load_tiny("llama", "float64"), 0):
        assert not any("forward" in vars(part) for part in model.hf.modules())
    model = load_tiny("llama", "float32")
    part = next(part for part in model.blocks[0].modules() if type(part) is nn.Linear)
    part.forward = taken_over = lambda x: x
    try:
        with faster_products(model, 0):
            assert part.forward is taken_over
        assert part.forward is taken_over
    finally:
        del part.forward
