"""The figures of the patching benchmark in words and as a table."""

from collections.abc import Iterator
from typing import Any

import memory


def comparison_lines(found: dict[str, Any]) -> Iterator[str]:
    """The table, where it was measured, and the ratios."""
    on, what, fast = found["machine"], found["workload"], found["bfloat16"]
    yield (
        f"{on.get('gpu', on['processor'])}, {on['threads']} threads, torch {on['torch']}, "
        f"{on['dtype']}. {what['model']}, {what['site']} ({what['d_sae']} features), "
        f"{what['pairs']} pairs of {what['mean_prompt_length']:.1f} tokens, {what['units']} units "
        f"at {what['mean_remaining_positions']:.2f} remaining positions on average. GEMM "
        f"{found['gemm_flops_per_second'] / 1e9:.0f} GFLOP/s at {found['gemm_rows']} rows "
        f"({fast['gemm_flops_per_second'] / 1e9:.0f} in bfloat16).\n"
    )
    yield from table(found)
    ratios = ("naive", "plain_hooks", "batched_suffix", "reference")
    shown = ", ".join(f"{found[f'ratio_to_{one}']:.1f} x {one.replace('_', ' ')}" for one in ratios)
    yield f"\nPacked engine: {shown} (medians of the rounds' ratios)."
    yield (
        f"bfloat16: {fast['ratio_to_float32']:.2f} times as fast, correlation with float32 "
        f"{fast['correlation']:.4f}, largest difference {fast['max_relative_difference']:.1e}."
    )


def table(found: dict[str, Any]) -> Iterator[str]:
    """The comparison as Markdown."""
    yield (
        "| way | units timed | patches/s | vs bridge | GFLOP/patch | hardware | useful "
        "| largest difference |"
    )
    yield "| :--- " + "| ---: " * 7 + "|"
    for one in found["ways"]:
        cells = (
            *(one["way"], str(one["units"]), f"{one['patches_per_second']:.1f}"),
            f"{one['ratio_to_naive']:.1f}",
            f"{one['flops_issued_per_patch'] / 1e9:.2f}",
            *(f"{one[key]:.2f}" for key in ("gemm_efficiency", "useful_gemm_efficiency")),
            f"{one['max_relative_difference']:.1e}",
        )
        yield f"| {' | '.join(cells)} |"


def attribution_lines(found: dict[str, Any]) -> Iterator[str]:
    """One line."""
    each = found["attribution_seconds_per_pair"].items()
    shown = ", ".join(f"{name} {1000 * taken:.0f}" for name, taken in each)
    yield f"Attribution, ms a pair: {shown}."


def memory_lines(found: dict[str, Any]) -> Iterator[str]:
    """One line."""
    yield "Memory: " + memory.sentence(found["memory"])


def growth_lines(found: dict[str, Any]) -> Iterator[str]:
    """One line for each axis."""
    for one in found["growth"].values():
        yield f"Growth with {one['axis']}: exponent {one['exponent']:.2f} ({one['unit']})."
