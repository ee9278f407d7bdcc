"""What does each estimate cost, next to the gradient and to what its arithmetic has to cost?

    python benchmarks/method_cost.py

On the embedded model, its bundled SAE, IOI pairs: prompts run forward and backward for one pair,
prompts in a batch, the time, its ratio to ``gradient``, and its ratio to the floor: the linear
layers of the blocks from the first site's on, of the positions from the first changed one on,
forward and the same again backward (weights have no gradient), at the GEMM rate of this machine:
the faster of torch.mm and oneDNN's product. The methods take turns, so that a busy machine slows
all of them alike; the median over turns is shown. The units' steps, and the keys and values of the
positions before the change, are found before.
"""

import argparse
import time

import numpy as np
from floor import gemm_rate, linear_flops

import relp_sae as rs
from relp_sae.attribution import batches, method_named
from relp_sae.saes import whole_nodes

METHODS = (
    *("gradient", "gradient-mean", "relp", "relp-mean", "relp-ah", "secant", "secant:2"),
    *("integrated-gradients", "delta-norm"),
)

ROWS = 256
"""Rows of the products that the floor is taken from: about the tokens of a batch."""


def seconds(run: rs.PairedRun, rounds: int, methods: tuple[str, ...]) -> dict[str, float]:
    """Median seconds for all kept pairs, by method."""
    taken: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(rounds):
        for name, times in taken.items():
            start = time.perf_counter()
            rs.attribute(run, name)
            times.append(time.perf_counter() - start)
    return {
        name: float(np.median(times[1:])) for name, times in taken.items()
    }  # the first warms up


def flops(run: rs.PairedRun, method: str) -> int:
    """Of the linear layers, for all kept pairs, in what a method cannot do without."""
    tokens = sum(run.prefixes.changed([pair]) for pair in run.kept)
    blocks = run.model.blocks[run.sites[0].layer :]
    return sum(method_named(method).passes(1)) * tokens * sum(map(linear_flops, blocks))


def prompts_in_a_batch(run: rs.PairedRun, method: str) -> float:
    """The mean over batches."""
    rows = method_named(method).rows
    return rows * len(run.kept) / len(batches(run, rows))


def print_costs(run: rs.PairedRun, found: dict[str, float], rate: float) -> None:
    """One line a method; ``rate`` is in FLOP/s."""
    print("| method | forward | backward | prompts a batch | ms a pair | / gradient | / floor |")
    print("| :--- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, total in found.items():
        floor = flops(run, name) / rate
        cells = (
            name,
            *map(str, method_named(name).passes(1)),
            f"{prompts_in_a_batch(run, name):.1f}",
            f"{1000 * total / len(run.kept):.1f}",
            f"{total / found['gradient']:.2f}",
            f"{total / floor:.2f}" if floor else "",
        )
        print(f"| {' | '.join(cells)} |")


def main() -> None:
    """Measure at the SAE's site and at all whole nodes, and print two tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=6)
    asked = parser.parse_args()
    model = rs.load_model("smollm2-135m")
    pairs = rs.tasks["ioi"](model.tokenizer, n=asked.pairs, seed=0)
    one_pass = tuple(name for name in METHODS if method_named(name).passes(2).forwards <= 2)
    for words, dictionaries, methods in (
        ("SAE at resid_pre.15", rs.load_saes("smollm2-135m-topk"), METHODS),
        ("all whole nodes", whole_nodes(model), one_pass),
    ):
        run = rs.PairedRun(model, dictionaries, pairs, rs.metrics["logit_diff"])
        assert len(run.units)
        run.prefixes.find(run.kept)
        found = seconds(run, asked.rounds, methods)
        rate = gemm_rate(model, ROWS)
        print(f"\n**{words}**, {len(run.kept)} pairs, products at {rate / 1e9:.0f} GFLOP/s\n")
        print_costs(run, found, rate)


if __name__ == "__main__":
    main()
