"""How much memory a device has to give."""

import psutil
import torch


def available_memory(device: torch.device) -> int:
    """Bytes of memory that the device can give now."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available
