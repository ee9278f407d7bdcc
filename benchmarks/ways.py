"""The ways that are compared, on the units of one run."""

from dataclasses import replace
from functools import partial

import numpy as np
from naive import bridge_loop, hook_loop
from product import ThroughRun
from rounds import Way
from suffix import BATCH, suffix_loop
from workload import by_pair, spread, typical_pair

import relp_sae as rs
from relp_sae.patching import Change, step_effects

BRIDGE = "one forward with hooks per unit, TransformerLens bridge + SAE"
HOOKS = "one forward with a hook per unit, plain Hugging Face"
SUFFIX = f"blocks from the site on, {BATCH} units a batch, whole sequence"
REFERENCE = "relp_sae, engine reference (whole forward passes, batched)"
PACKED = "relp_sae, engine packed"
BFLOAT16 = "relp_sae, engine packed, bfloat16"

SUFFIX_PAIRS = 4
"""Of how many pairs, spread over all, the batched suffix patches one batch each."""


def float32_ways(run: rs.PairedRun, sample: int) -> list[Way]:
    """Naive loops on a sample of the units, the suffix on a batch of some pairs, and the engines.

    The reference engine measures the pair of typical length, the packed engine all units.
    """
    every = np.arange(len(run.units))
    few = spread(every, sample)
    some = spread(np.array(run.kept), SUFFIX_PAIRS)
    batches = np.concatenate([spread(by_pair(run)[pair], BATCH) for pair in some])
    pair = typical_pair(run)
    one_pair = replace(run, pairs=[run.pairs[pair]])
    assert len(one_pair.units) == len(by_pair(run)[pair])
    return [
        Way(BRIDGE, run, few, bridge_loop(run, few), run.model),
        Way(HOOKS, run, few, hook_loop(run, few), run.model),
        Way(SUFFIX, run, batches, suffix_loop(run, batches), run.model),
        Way(REFERENCE, run, by_pair(run)[pair], _patch(one_pair, "reference"), run.model),
        Way(PACKED, run, every, _patch(run, "packed"), run.model),
    ]


def bfloat16_way(run: rs.PairedRun) -> Way:
    """The packed engine with the model in bfloat16, on the float32 run's units and steps.

    `relp_sae.patch` refuses to do this; the table says why.
    """
    settings = {"device": str(run.model.device), "dtype": "bfloat16"}
    model = rs.load_model(run.model.name, **settings)
    saes = rs.load_saes([one.source for one in run.dictionaries.values()], **settings)
    fast = replace(run, model=model, dictionaries=saes)
    every = np.arange(len(run.units))
    effects = partial(step_effects, run, every, Change(), ThroughRun(fast))
    return Way(BFLOAT16, run, every, effects, model)


def _patch(run: rs.PairedRun, engine: str):
    return lambda: rs.patch(run, "denoise", engine=engine).score
