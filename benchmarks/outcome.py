"""From what was timed to the figures of the table and the JSON."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from rounds import Timed, gemm_rows
from ways import BFLOAT16, BRIDGE, HOOKS, PACKED, REFERENCE, SUFFIX
from workload import remaining

import relp_sae as rs


def figures(run: rs.PairedRun, seen: Sequence[Timed]) -> dict[str, Any]:
    """The comparison as one record. Differences are over the largest of all effects."""
    by_name = {one.way.name: one for one in seen}
    packed = by_name[PACKED]
    ways = [_way(one, packed, by_name[BRIDGE]) for one in seen]
    exact = [one["max_relative_difference"] for one in ways if one["way"] != BFLOAT16]
    fast = by_name[BFLOAT16]
    return {
        "patches_per_second": float(np.median(packed.rates)),
        "ratio_to_naive": packed.times_faster_than(by_name[BRIDGE]),
        "ratio_to_plain_hooks": packed.times_faster_than(by_name[HOOKS]),
        "ratio_to_batched_suffix": packed.times_faster_than(by_name[SUFFIX]),
        "ratio_to_reference": packed.times_faster_than(by_name[REFERENCE]),
        "gemm_efficiency": packed.share(packed.issued),
        "useful_gemm_efficiency": packed.share(packed.useful),
        "max_relative_difference": max(exact),
        "gemm_flops_per_second": max(packed.gemm),
        "gemm_rows": gemm_rows(run),
        "ways": ways,
        "bfloat16": {
            "ratio_to_float32": fast.times_faster_than(packed),
            "max_relative_difference": _difference(fast, packed),
            "correlation": float(np.corrcoef(fast.effects, packed.effects)[0, 1]),
            "gemm_flops_per_second": max(fast.gemm),
        },
    }


def _way(one: Timed, packed: Timed, naive: Timed) -> dict[str, Any]:
    units = len(one.way.rows)
    return {
        "way": one.way.name,
        "units": units,
        "seconds": one.seconds,
        "patches_per_second": float(np.median(one.rates)),
        "ratio_to_naive": one.times_faster_than(naive),
        "flops_issued_per_patch": one.issued / units,
        "flops_useful_per_patch": one.useful / units,
        "gemm_efficiency": one.share(one.issued),
        "useful_gemm_efficiency": one.share(one.useful),
        "max_relative_difference": _difference(one, packed),
    }


def _difference(one: Timed, packed: Timed) -> float:
    """The largest difference to the packed engine's effects, over the largest effect."""
    largest = np.abs(packed.effects).max()
    return float(np.abs(one.effects - packed.effects[one.way.rows]).max() / largest)


def workload(run: rs.PairedRun, settings: dict[str, Any]) -> dict[str, Any]:
    """What was patched."""
    (dictionary,) = run.dictionaries.values()
    return {
        **settings,
        "model": run.model.name,
        "site": str(dictionary.site),
        "d_sae": dictionary.d_sae,
        "pairs": len(run.kept),
        "units": len(run.units),
        "mean_prompt_length": float(np.mean([len(run.pairs[i].clean_ids) for i in run.kept])),
        "mean_remaining_positions": float(remaining(run).mean()),
    }
