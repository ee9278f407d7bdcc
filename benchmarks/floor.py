"""What the hardware can do, what has to be done, and what is done: GEMM rate and FLOPs.

A multiplication and an addition are two operations. Norms, activations, softmax and the metric are
not counted: they are no matrix products, and their time is time that the GEMM rate does not excuse.
"""

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import relp_sae as rs
from relp_sae.models import LanguageModel

REPEATS = 3


def linears(block: nn.Module) -> list[nn.Linear]:
    """The linear layers of a block."""
    return [part for part in block.modules() if isinstance(part, nn.Linear)]


def linear_flops(block: nn.Module) -> int:
    """Of all linear layers of a block, for one token."""
    return sum(2 * part.weight.numel() for part in linears(block))


def key_value_flops(model: LanguageModel, layer: int) -> int:
    """Of the key and value projections of a block, for one token (Llama's names)."""
    attention = model.in_block(layer, model.family.attention)
    return 2 * (attention.k_proj.weight.numel() + attention.v_proj.weight.numel())


def attention_flops(model: LanguageModel, queries: int, keys: int) -> int:
    """Of the scores and of the mixing of values, in one block."""
    config = model.config
    d_head = getattr(config, "head_dim", None) or model.d_model // config.num_attention_heads
    return 4 * config.num_attention_heads * d_head * queries * keys


def useful_flops(model: LanguageModel, layer: int, length: int, remaining: int) -> int:
    """What a patch at ``resid_pre`` of a layer has to compute if ``remaining`` positions change.

    In every block but the last, those positions: the linear layers, and attention over the keys
    that each sees. In the last block keys and values of those positions, and the rest for the last
    position alone. Of the unembedding two rows.
    """
    last = model.n_layers - 1
    visible = sum(range(length - remaining + 1, length + 1))
    block = remaining * linear_flops(model.blocks[layer]) + attention_flops(model, 1, visible)
    keys_and_values = key_value_flops(model, last)
    final = (
        remaining * keys_and_values
        + (linear_flops(model.blocks[last]) - keys_and_values)
        + attention_flops(model, 1, length)
    )
    return (last - layer) * block + final + 2 * 2 * model.d_model


def useful_flops_of(run: rs.PairedRun, rows: np.ndarray) -> int:
    """The same, summed over units of a run."""
    (site,) = run.sites
    total = 0
    for pair, pos in zip(run.units.pair[rows], run.units.pos[rows], strict=True):
        length = len(run.pairs[pair].clean_ids)
        total += useful_flops(run.model, site.layer, length, length - int(pos))
    return total


def issued_flops(call: Callable[[], object]) -> int:
    """The matrix products that a call really makes, counted by PyTorch. Slow: not to be timed."""
    mapping = {torch.ops.mkldnn._linear_pointwise: _onednn_flops} if _has_onednn() else None
    with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        call()
    return counter.get_total_flops()


def _onednn_flops(x: torch.Size, weight: torch.Size, *_args: Any, **_shape: Any) -> int:
    """Of the packed engine's linear layers, which PyTorch's counter does not know."""
    return 2 * math.prod(x) * weight[0]


@torch.no_grad()
def gemm_rate(model: LanguageModel, rows: int, repeats: int = REPEATS) -> float:
    """FLOP/s of ``rows`` rows times each weight of a block: the best product of a few of each.

    Products are `torch.mm` and, on a CPU in float32, oneDNN's with weights laid out for it before.
    """
    taken, flops = 0.0, 0
    for part in linears(model.blocks[0]):
        x = torch.randn(rows, part.in_features, device=model.device, dtype=model.dtype)
        products = _products(x, part.weight)
        for product in products:
            product()  # warms up
        taken += min(timed(product)[0] for product in products for _ in range(repeats))
        flops += 2 * rows * part.weight.numel()
    return flops / taken


def _products(x: torch.Tensor, weight: torch.Tensor) -> list[Callable[[], torch.Tensor]]:
    found: list[Callable[[], torch.Tensor]] = [lambda: torch.mm(x, weight.T)]
    if weight.device.type == "cpu" and weight.dtype == torch.float32 and _has_onednn():
        onednn = torch.ops.mkldnn
        laid_out = onednn._reorder_linear_weight(weight.detach(), len(x))
        found.append(lambda: onednn._linear_pointwise(x, laid_out, None, "none", [], ""))
    return found


def _has_onednn() -> bool:
    """PyTorch is built without it for some processors; the packed engine asks the same."""
    available = torch.backends.mkldnn.is_available()
    return available and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of a call, and what it returns. A GPU is waited for on both sides."""
    _wait()
    start = time.perf_counter()
    result = call()
    _wait()
    return time.perf_counter() - start, result


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
