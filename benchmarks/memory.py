"""How much memory does patching take, at a large dictionary and long prompts?

    python benchmarks/memory.py --memory 1GB
    python benchmarks/memory.py --memory 1GB --pairs 20 --units 4
    python benchmarks/memory.py --memory 1GB --pairs 1000 --units 4 --blocks 3

A fresh process loads the embedded model and a random TopK SAE of 131,072 features, finds the units
of one IOI pair made 512 tokens long (neutral text before the sentence), and patches them all within
the budget. Printed: the most resident memory while it does, what of that are the weights and the
Python packages, and what is left for the rest. With several pairs and a few units of each, what is
kept of every prompt shows: compare with other numbers of pairs. With ``--blocks`` the model is cut
to its first blocks, which makes many long pairs quicker; pairs that it gets wrong are left out.
"""

import argparse
import json
import resource
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from product import patched
from random_sae import random_sae
from resident import Peak, resident
from shortened import shortened
from workload import METRIC, MODEL, TASK, lengthened, some_of_each

import relp_sae as rs
from relp_sae.run.memory import parse_memory

D_MODEL = 576
"""Of the embedded model."""


@dataclass(frozen=True)
class Asked:
    """What to measure.

    ``length`` 0 leaves the prompts as they are; of each pair ``units`` are patched, 0: all.
    """

    sae: str
    model: str = MODEL
    pairs: int = 1
    length: int = 0
    units: int = 0
    memory: str | None = None
    device: str = "cpu"


def measured(asked: Asked) -> dict[str, Any]:
    """Measure in a process of its own, so that nothing but the run is in it."""
    command = [sys.executable, str(Path(__file__).resolve()), "--inside", json.dumps(asdict(asked))]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def inside(asked: Asked) -> dict[str, Any]:
    """Measure in this process. All sizes are in bytes."""
    imported = resident()
    model = rs.load_model(asked.model, device=asked.device)
    saes = rs.load_saes(asked.sae, device=asked.device)
    pairs = rs.tasks[TASK](model.tokenizer, n=asked.pairs, seed=0)
    if asked.length:
        pairs = [lengthened(pair, asked.length, model.tokenizer) for pair in pairs]
    weights = sum(weight.nbytes for weight in model.hf.parameters()) + sum(
        weight.nbytes for one in saes.values() for weight in one.sae.parameters()
    )
    with Peak() as peak:
        memory = parse_memory(asked.memory)
        run = rs.PairedRun(model, saes, pairs, rs.metrics[METRIC], memory=memory)
        rows = some_of_each(run, asked.units)
        patched(run, rows)
    return {
        **asdict(asked),
        "found": len(run.units),
        "patched": len(rows),
        "kept": len(run.kept),
        "weights": weights,
        "imported": imported,
        "before": peak.before,
        "peak": peak.bytes,
        "added": peak.bytes - peak.before,
        "left": peak.bytes - weights - imported,
        "process_peak": _process_peak(),
        **_gpu(asked.device),
    }


def _process_peak() -> int:
    """The most that the process ever held, loading included: kilobytes on Linux, bytes on macOS."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def _gpu(device: str) -> dict[str, int]:
    if not device.startswith("cuda"):
        return {}
    import torch

    return {"gpu_peak": torch.cuda.max_memory_allocated(device)}


def sentence(found: dict[str, Any]) -> str:
    """The figures in words."""
    gb = {key: f"{value / 1e9:.2f} GB" for key, value in found.items() if isinstance(value, int)}
    on_gpu = f"; on the GPU {gb['gpu_peak']}" if "gpu_peak" in found else ""
    return (
        f"peak {gb['peak']}: weights {gb['weights']}, Python and its packages {gb['imported']}, "
        f"the rest {gb['left']}. Finding {found['found']} units of {found['kept']} pairs and "
        f"patching {found['patched']} of them added {gb['added']} to the {gb['before']} before; "
        f"budget {found['memory'] or 'by default'}; "
        f"with loading the process held {gb['process_peak']} at most{on_gpu}."
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--memory", help="the budget, such as 1GB; by default what is available")
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--d-sae", type=int, default=131072)
    parser.add_argument("--pairs", type=int, default=1)
    parser.add_argument("--units", type=int, default=0, help="to patch of each pair; 0: all")
    parser.add_argument("--blocks", type=int, default=0, help="of the model; 0: all")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        print(json.dumps(inside(Asked(**json.loads(given.inside)))))
        return
    site = f"resid_pre.{given.blocks // 2 if given.blocks else 15}"
    with shortened(given.blocks) as model, random_sae(site, D_MODEL, given.d_sae) as sae:
        what = given.pairs, given.length, given.units
        found = measured(Asked(str(sae), model, *what, given.memory, given.device))
    print(f"{given.d_sae} features, prompts of {given.length} tokens: {sentence(found)}")


if __name__ == "__main__":
    main()
