"""How much memory a device has to give, and how much a model's passes take."""

import ctypes
import sys

import psutil
import torch

from relp_sae.models.language_model import LanguageModel

_C = ctypes.CDLL(None) if sys.platform == "linux" else None

KEPT = 62 * 2**20
"""Bytes of freed memory that stay (see ``keep_freed_memory``)."""


def available_memory(device: torch.device) -> int:
    """Bytes of memory that the device can give now."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available


def row_bytes(model: LanguageModel, length: int) -> int:
    """Bytes that a block makes of one row (token) at most, in prompts of ``length`` tokens.

    The stream and copies of it (input, norm, residual, queries, keys, values, outputs), the widest
    layer's output four times (gate, up, activation, product), and the attention scores of every
    head four times (two parts, joined, normalised). docs/engine.md has the formula.
    """
    widest = max(weight.shape[0] for weight in model.blocks[0].parameters() if weight.ndim == 2)
    widest = max(widest, *(w.shape[1] for w in model.blocks[0].parameters() if w.ndim == 2))
    numbers = 10 * model.d_model + 4 * widest + 4 * model.config.num_attention_heads * length
    return numbers * max(4, torch.finfo(model.dtype).bits // 8)


def key_bytes(model: LanguageModel) -> int:
    """Bytes of a token's keys and values in one block."""
    of_queries = model.config.num_attention_heads
    d_head = getattr(model.config, "head_dim", None) or model.d_model // of_queries
    heads = getattr(model.config, "num_key_value_heads", None) or of_queries
    return 2 * heads * d_head * model.dtype.itemsize


def out_of_memory(error: BaseException) -> bool:
    """Whether torch or Python ran out of memory; torch's CPU allocator has no class of its own."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        "not enough memory" in str(error) or "can't allocate memory" in str(error)
    )


class FreedMemory:
    """Gives freed memory back to the system once more than ``allowed`` bytes may have gathered.

    What is freed between tensors that stay is kept by glibc, and only smaller ones fit into those
    gaps: long prompts that are run and kept one after the other would take several times their
    size. Giving back costs taking the pages anew, so it is not done at every call.
    """

    def __init__(self, allowed: int) -> None:
        self._allowed = allowed
        self._least = _resident()

    def give_back(self) -> None:
        """Give back what is free, if the process has grown; with other C libraries do nothing."""
        if _resident() > self._least + self._allowed and hasattr(_C, "malloc_trim"):
            _C.malloc_trim(ctypes.c_size_t(KEPT))
            self._least = _resident()
        self._least = min(self._least, _resident())


def _resident() -> int:
    return psutil.Process().memory_info().rss


def keep_freed_memory() -> None:
    """Have the C library keep what large tensors free, instead of giving it back page by page.

    glibc gives the top of its heap back once more is free there than twice the largest chunk it
    has mapped and freed, of at most 32 MiB. The activations of a batch come and go in every block,
    and their pages would be taken anew each time. Elsewhere this does nothing.
    """
    torch.empty(31 * 2**20, dtype=torch.uint8)
