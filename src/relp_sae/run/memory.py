"""What a run's memory is spent on, in shares of its budget.

What they leave of it is for what is small.
"""

from typing import Annotated

import torch
from pydantic import ByteSize, Field, TypeAdapter, ValidationError

from relp_sae.errors import InputError
from relp_sae.models.memory import available_memory

AVAILABLE = 0.25
"""The budget by default, of what the device has available."""

BATCH = 0.3125
"""The rows of a pack of patched runs (patching/memory.py)."""

WEIGHTS = 0.25
"""Weights laid out for the processor (models/products.py)."""

ACTIVATIONS = 0.125
"""The activations of pairs at the sites (activations.py)."""

STEPS, PREFIXES, PROMPTS = 0.0625, 0.0625, 0.0625
"""The steps of pairs; what passes over their changed positions read of those before
(prefixes.py); and what the packed engine keeps of unchanged prompts."""

FREED = 0.0625
"""Memory that was freed and has not been given back (models/memory.py)."""


def budget_of(device: torch.device, memory: int | None) -> int:
    """``memory``, and by default a share of what the device has available, in bytes."""
    return int(AVAILABLE * available_memory(device)) if memory is None else memory


def parse_memory(memory: str | int | None) -> int | None:
    """A budget in bytes: "2GB", "500 MiB", or a number of bytes; None stays None.

    Raises:
        InputError: not a size.
    """
    if memory is None:
        return None
    try:
        return int(TypeAdapter(Annotated[ByteSize, Field(ge=1)]).validate_python(memory))
    except ValidationError as error:
        raise InputError(
            f"Cannot read the memory budget '{memory}'. Expected a size such as 2GB or 500MB."
        ) from error
