"""Linear layers through oneDNN equal the layers themselves, and are given back."""

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from relp_sae.models.products import Products, _laid_out, _LaidOut, _product, _weight

LAYERS = [nn.Linear(64, 96), nn.Linear(64, 96, bias=False), Conv1D(96, 64)]


def rows(width):
    """Inputs of a layer, or slopes of its output, in all shapes and strides."""
    return (
        torch.randn(1, 7, width),
        torch.randn(1, 0, width),
        torch.randn(3, width),
        torch.randn(2, 9, width)[:, 4],
        torch.randn(width).expand(1, 3, width),
        torch.randn(width, 5).T,
    )


def exact(layer, x):
    """The layer in float64."""
    return nn.functional.linear(
        x.double(),
        (layer.weight.T if isinstance(layer, Conv1D) else layer.weight).double(),
        None if layer.bias is None else layer.bias.double(),
    )


def weights_of(layer):
    """The weight as it is, and laid out; each with its transposed."""
    plain = _weight(layer).detach()
    state = (0, 0)
    return (
        _LaidOut(plain, plain.T, state),
        _LaidOut(_laid_out(plain), _laid_out(plain.T), state),
    )


@pytest.mark.parametrize("layer", LAYERS, ids=str)
@torch.no_grad()
def test_the_product_is_the_layer(layer):
    torch.manual_seed(0)
    if layer.bias is not None:
        nn.init.normal_(layer.bias)
    for x in rows(64):
        for kept in weights_of(layer):
            found = _product(kept, layer.bias, backward=False)(x).double()
            torch.testing.assert_close(found, exact(layer, x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_its_slope_is_that_of_the_layer(layer):
    torch.manual_seed(0)
    for x, slope in zip(rows(64), rows(96), strict=True):
        x.requires_grad_()
        (wanted,) = torch.autograd.grad(exact(layer, x), x, slope.double())
        for kept in weights_of(layer):
            y = _product(kept, layer.bias, backward=True)(x)
            torch.testing.assert_close(y.double(), exact(layer, x), rtol=1e-5, atol=1e-5)
            (found,) = torch.autograd.grad(y, x, slope)
            torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_layers_from_a_block_on_are_replaced_for_a_while(family, load_tiny):
    model = load_tiny(family, "float32")
    replaced = [
        [part for part in block.modules() if type(part) in (nn.Linear, Conv1D)]
        for block in model.blocks
    ]
    with Products(10**9).faster(model, slice(1, None)):
        assert not any("forward" in vars(part) for part in replaced[0])
        assert replaced[1]
        assert all("forward" in vars(part) for part in replaced[1])
    assert not any("forward" in vars(part) for part in model.hf.modules())


def test_float64_and_layers_that_something_took_over_are_left_alone(load_tiny):
    with Products(10**9).faster(model := load_tiny("llama", "float64"), slice(None)):
        assert not any("forward" in vars(part) for part in model.hf.modules())
    model = load_tiny("llama", "float32")
    part = next(part for part in model.blocks[0].modules() if type(part) is nn.Linear)
    part.forward = taken_over = lambda x: x
    try:
        with Products(10**9).faster(model, slice(None)):
            assert part.forward is taken_over
        assert part.forward is taken_over
    finally:
        del part.forward


@pytest.mark.parametrize(("backward", "copies"), [(False, 1), (True, 2)])
def test_weights_are_laid_out_once_and_within_the_budget(load_tiny, backward, copies):
    model = load_tiny("llama", "float32")
    block = sum(x.weight.nbytes for x in model.blocks[0].modules() if type(x) is nn.Linear)
    least = copies * 2 * block
    for limit, layers in ((least, 2 * block), (least - 1, 0)):
        products = Products(limit)
        for _ in range(2):
            with products.faster(model, slice(model.n_layers - 2, None), backward=backward):
                pass
        assert sum(layer.weight.nbytes for layer in products._laid_out) == layers


def test_a_copy_is_not_lost_to_two_that_have_no_room(load_tiny):
    model = load_tiny("llama", "float32")
    weights = [x.weight for x in model.blocks[2].modules() if type(x) is nn.Linear]
    products, layer = Products(sum(w.nbytes for w in weights)), model.in_block(2, "mlp.down_proj")
    x = torch.randn(1, 5, layer.in_features, requires_grad=True)
    (expected,) = torch.autograd.grad(layer(x).sum(), x)
    for backward in (False, True):
        with products.faster(model, slice(2, None), backward=backward):
            assert len(products._laid_out) == len(weights)
            found = layer(x)
    torch.testing.assert_close(torch.autograd.grad(found.sum(), x)[0], expected)


def test_what_was_laid_out_for_a_forward_pass_gets_its_slope_when_it_is_needed(load_tiny):
    model = load_tiny("llama", "float32")
    products, layer = Products(10**9), model.in_block(0, "mlp.down_proj")
    with products.faster(model, slice(None)):
        pass
    assert products._laid_out[layer].transposed is None
    with products.faster(model, slice(None), backward=True):
        assert products._laid_out[layer].transposed is not None
    with products.faster(model, slice(None)):
        assert products._laid_out[layer].transposed is not None


@torch.no_grad()
def test_a_weight_that_changed_is_laid_out_anew(load_tiny):
    model = load_tiny("llama", "float32")
    layer = model.in_block(0, "mlp.down_proj")
    x, products = torch.randn(1, 5, layer.in_features), Products(10**9)
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
