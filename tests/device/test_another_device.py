"""Models, SAEs and all that is made of them on a device that is not the CPU."""

import os
import subprocess
import sys
from pathlib import Path

CHECKS = Path(__file__).with_name("checks.py")


def test_everything_runs_on_another_device_and_gives_the_same():
    """In a process of its own, since the device that it pretends cannot be taken back.

    On the Llama alone; ``pytest tests/device/checks.py`` takes the GPT-2 too.
    """
    command = [sys.executable, "-m", "pytest", str(CHECKS), "-p", "no:xdist", "-k", "not gpt2"]
    alone = {
        name: value
        for name, value in os.environ.items()
        if "XDIST" not in name and name != "PYTEST_ADDOPTS"
    }
    done = subprocess.run(command, capture_output=True, text=True, env=alone, check=False)
    assert done.returncode == 0, done.stdout[-5000:]
