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


def keep_freed_memory() -> None:
    """Have the C library keep what large tensors free, instead of giving it back page by page.

    glibc gives the top of its heap back once more is free there than twice the largest chunk it
    has mapped and freed, of at most 32 MiB. The activations of a batch come and go in every block,
    and their pages would be taken anew each time. Elsewhere this does nothing.
    """
    torch.empty(31 * 2**20, dtype=torch.uint8)
