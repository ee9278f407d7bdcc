"""How fast is exact activation patching, next to how peers do it and to what the hardware can?

    python benchmarks/patching.py [--device cuda] [--quick]

The denoising effect of every unit (SAE features and error units) of S2-flip IOI pairs on the
embedded model, measured in several ways that take turns on the same units. Prints one table and
writes it to benchmarks/out/bench.json with the machine and the workload, and figures of how the
time grows. Slow ways patch a sample of the units: the table says how many.

*hardware* is the matrix products that a way really makes, over the time, over the GEMM rate of this
machine measured in the same rounds (at the shapes of a block's weights, as many rows as the packed
engine puts into a batch, the faster of torch.mm and, on a CPU in float32, oneDNN's product with
weights laid out before). *useful* counts only what a patch has to compute: the
positions from the patched one on, the last block cut to what the metric reads, two rows of the
unembedding. Differences are over the largest of all effects.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import growth
import memory
import method_cost
import torch
from lines import attribution_lines, comparison_lines, growth_lines, memory_lines
from machine import machine
from outcome import figures, workload
from rounds import take_turns
from ways import bfloat16_way, float32_ways
from workload import SAE, embedded_run

import relp_sae as rs

OUT = Path(__file__).parent / "out"

ATTRIBUTION = ("gradient", "relp", "secant", "integrated-gradients")


def main() -> None:
    """Measure, print and write, part by part: what was measured is kept if a later part fails."""
    asked = options()
    if asked.threads:
        torch.set_num_threads(asked.threads)
    torch.backends.cuda.matmul.allow_tf32 = False
    asked.out.mkdir(parents=True, exist_ok=True)
    run = embedded_run(asked.pairs, asked.device)
    found: dict[str, Any] = {}
    for part, lines in (
        (compared, comparison_lines),
        (attributed, attribution_lines),
        (remembered, memory_lines),
        (grown, growth_lines),
    ):
        found |= part(run, asked)
        (asked.out / "bench.json").write_text(json.dumps(found, indent=1))
        print("\n".join(lines(found)), flush=True)


def options() -> argparse.Namespace:
    """What was asked for on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--pairs", type=int, help="prompt pairs (8; quick: 2)")
    parser.add_argument("--rounds", type=int, help="turns of every way (4; quick: 1)")
    parser.add_argument("--sample", type=int, help="units of the naive loops (24; quick: 4)")
    parser.add_argument("--threads", type=int, help="of PyTorch; all by default")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it still run?")
    parser.add_argument("--out", type=Path, default=OUT)
    asked = parser.parse_args()
    if asked.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error("there is no CUDA device here")
    for name, usual, quick in (("pairs", 8, 2), ("rounds", 4, 1), ("sample", 24, 4)):
        if getattr(asked, name) is None:
            setattr(asked, name, quick if asked.quick else usual)
    return asked


def compared(run: rs.PairedRun, asked: argparse.Namespace) -> dict[str, Any]:
    """Patching in every way."""
    seen = take_turns([*float32_ways(run, asked.sample), bfloat16_way(run)], asked.rounds)
    return {
        **figures(run, seen),
        "machine": machine(asked.device, "float32"),
        "workload": workload(run, {"pairs_asked": asked.pairs, "rounds": asked.rounds}),
    }


def attributed(run: rs.PairedRun, asked: argparse.Namespace) -> dict[str, Any]:
    """What the estimates cost."""
    seconds = method_cost.seconds(run, 1 + min(asked.rounds, 3), ATTRIBUTION)
    each = {name: taken / len(run.kept) for name, taken in seconds.items()}
    return {"attribution_seconds_per_pair": each}


def remembered(_run: rs.PairedRun, asked: argparse.Namespace) -> dict[str, Any]:
    """Memory, in a process of its own."""
    return {"memory": memory.measured(memory.Asked(SAE, pairs=asked.pairs, device=asked.device))}


def grown(run: rs.PairedRun, asked: argparse.Namespace) -> dict[str, Any]:
    """Time along four axes, and a figure for each."""
    rounds = 1 if asked.quick else 2
    few = embedded_run(1 if asked.quick else 2, asked.device)
    lengths = (32, 64) if asked.quick else (32, 64, 128, 256, 512)
    dictionaries = (1024, 2048) if asked.quick else (2048, 8192, 32768, 131072)
    found = [
        growth.by_units(run, rounds, (1 / 8, 1 / 4, 1 / 2, 1)),
        growth.by_pairs(run, rounds, (1, 2, 4, 8, 16, 32)),
        growth.by_length(few, rounds, lengths),
        growth.by_d_sae(few, rounds, dictionaries),
    ]
    for one in found:
        growth.draw(one, asked.out)
    return {"growth": {one.name: {**vars(one), "exponent": one.exponent} for one in found}}


if __name__ == "__main__":
    main()
