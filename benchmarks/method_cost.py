"""What does each estimate cost, next to the gradient?

    python benchmarks/method_cost.py

On the embedded model, its bundled SAE, IOI pairs: prompts run forward and backward for one pair,
the seconds, and the ratio to ``gradient``. The methods take turns, so that a busy machine slows all
of them alike; the median over turns is shown. The units' steps are found before.
"""

import argparse
import time

import numpy as np

import relp_sae as rs
from relp_sae.attribution import method_named
from relp_sae.saes import whole_nodes

METHODS = (
    *("gradient", "gradient-mean", "relp", "relp-mean", "relp-ah", "secant", "secant:2"),
    *("integrated-gradients", "delta-norm"),
)


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


def main() -> None:
    """Measure at the SAE's site and at all whole nodes, and print two tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=6)
    asked = parser.parse_args()
    model = rs.load_model("smollm2-135m")
    pairs = rs.tasks["ioi"](model.tokenizer, n=asked.pairs, seed=0)
    at_one_site = [name for name in METHODS if name not in ("secant:2", "integrated-gradients")]
    for words, dictionaries, methods in (
        ("SAE at resid_pre.15", rs.load_saes("smollm2-135m-topk"), METHODS),
        ("all whole nodes", whole_nodes(model), tuple(at_one_site)),
    ):
        run = rs.PairedRun(model, dictionaries, pairs, rs.metrics["logit_diff"])
        assert len(run.units)
        found = seconds(run, asked.rounds, methods)
        print(f"\n**{words}**\n\n| method | forward | backward | ms a pair | / gradient |")
        print("| :--- | ---: | ---: | ---: | ---: |")
        for name, total in found.items():
            passes = method_named(name).passes(len(run.sites))
            cells = (name, *passes, f"{1000 * total / len(run.kept):.0f}")
            print(f"| {' | '.join(map(str, cells))} | {total / found['gradient']:.2f} |")


if __name__ == "__main__":
    main()
