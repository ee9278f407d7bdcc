"""How many rows of tokens are computed at once, for a budget of memory."""

import torch
from pydantic import ByteSize, TypeAdapter, ValidationError

from relp_sae.errors import InputError
from relp_sae.models import LanguageModel
from relp_sae.models.memory import budget_of

BATCH, PROMPTS = 0.5, 0.25
"""Of the budget: the rows of a batch, and beside them, in the packed engine, what is kept of the
unchanged prompts. The rest is for weights laid out for the processor."""

ROWS = {"cpu": 2048, "cuda": 65536}
"""Rows beyond which matrix products gain nothing more. On a CPU larger batches leave the cache."""


def longest_batch(model: LanguageModel, length: int, memory: int | None = None) -> int:
    """The most rows (tokens) of prompts of ``length`` tokens that one batch may have.

    ``memory`` is the budget in bytes; by default a share of what the device has available.

    Raises:
        InputError: the budget does not hold one prompt and the unchanged run beside it.
    """
    budget = budget_of(model.device, memory)
    row, least = row_bytes(model, length), 2 * length
    rows = int(BATCH * budget) // row
    if rows < least:
        raise InputError(
            f"A memory budget of {budget / 1e6:.3g} MB is too small: a prompt of {length} tokens "
            f"of {model.name} needs {least * row / BATCH / 1e6:.1f} MB. Give --memory at least "
            "that."
        )
    return max(min(rows, ROWS.get(model.device.type, max(ROWS.values()))), least)


def prompt_bytes(model: LanguageModel, length: int, blocks: int, streams: int) -> int:
    """Bytes that the packed engine keeps of an unchanged prompt of ``length`` tokens.

    Keys and values of ``blocks`` blocks, and the stream at the entry of ``streams`` of them.
    """
    heads = model.config.num_attention_heads
    d_head = getattr(model.config, "head_dim", None) or model.d_model // heads
    key_heads = getattr(model.config, "num_key_value_heads", None) or heads
    numbers = 2 * blocks * key_heads * d_head + streams * model.d_model
    return length * numbers * model.dtype.itemsize


def row_bytes(model: LanguageModel, length: int) -> int:
    """Bytes that a block needs for one row at most, in prompts of ``length`` tokens.

    The stream and copies of it (input, norm, residual, queries, keys, values, outputs), the widest
    layer's output four times (gate, up, activation, product), and the attention scores of every
    head four times (two parts, joined, normalised). docs/engine.md has the formula.
    """
    widest = max(weight.shape[0] for weight in model.blocks[0].parameters() if weight.ndim == 2)
    widest = max(widest, *(w.shape[1] for w in model.blocks[0].parameters() if w.ndim == 2))
    numbers = 10 * model.d_model + 4 * widest + 4 * model.config.num_attention_heads * length
    return numbers * max(4, torch.finfo(model.dtype).bits // 8)


def parse_memory(memory: str | int | None) -> int | None:
    """A budget in bytes: "2GB", "500 MiB", or a number of bytes; None stays None.

    Raises:
        InputError: not a size.
    """
    try:
        return None if memory is None else int(TypeAdapter(ByteSize).validate_python(memory))
    except ValidationError as error:
        raise InputError(
            f"Cannot read the memory budget '{memory}'. Expected a size such as 2GB or 500MB."
        ) from error
