"""On what a benchmark ran."""

import platform
from pathlib import Path

import torch


def machine(device: str, dtype: str) -> dict[str, str | int]:
    """Processor (and GPU), threads, versions and type."""
    found: dict[str, str | int] = {
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": device,
        "dtype": dtype,
    }
    if device.startswith("cuda"):
        found["gpu"] = torch.cuda.get_device_name(device)
    return found


def processor() -> str:
    """The processor's name; Linux has it in a file, other systems say less."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
