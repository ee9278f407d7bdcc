"""How much memory a device has to give, and how much of it work that is batched may take."""

import psutil
import torch

SHARE = 0.25
"""The budget, by default: of the memory that is available when a batch is planned."""

WEIGHTS = 0.25
"""Of the budget: weights laid out for the processor (products.py)."""


def available_memory(device: torch.device) -> int:
    """Bytes of memory that the device can give now."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available


def budget_of(device: torch.device, memory: int | None) -> int:
    """``memory``, and by default a share of what the device has available, in bytes."""
    return int(SHARE * available_memory(device)) if memory is None else memory


def out_of_memory(error: BaseException) -> bool:
    """Whether torch or Python ran out of memory; torch's CPU allocator has no class of its own."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        "not enough memory" in str(error) or "can't allocate memory" in str(error)
    )
