"""Exact patching as peers do it: one full forward pass, with hooks, for each unit.

`bridge_loop` is the documented way (Marks et al. 2024, arXiv 2403.19647, in SAELens and
TransformerLens 3): the SAE stands in the model with its error term, and in the corrupted run one
feature at one position, or the error term there, is set to its clean value. `hook_loop` adds the
unit's step with a plain PyTorch hook, without the SAE and without TransformerLens.

Both return a function that patches; what does not depend on the unit (the clean run, the corrupted
metric, the steps) is computed before, once a prompt, and is no part of its time.
"""

import copy
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from sae_lens.analysis.sae_transformer_bridge import SAETransformerBridge
from torch import Tensor
from workload import Rows, step_vectors

import relp_sae as rs

Loop = Callable[[], np.ndarray]
"""Patches its units and returns their denoising effects."""


def bridge_loop(run: rs.PairedRun, rows: Rows) -> Loop:
    """Through TransformerLens' bridge, with hooks on the SAE's features and error term."""
    bridge, features, error = _bridge_with_sae(run)
    pairs = sorted(set(run.units.pair[rows].tolist()))
    clean, base = {}, {}
    with torch.no_grad():
        for pair in pairs:
            _, clean[pair] = bridge.run_with_cache(
                _ids(run, pair, 1), names_filter=[features, error]
            )
            base[pair] = run.metric_of(pair, bridge(_ids(run, pair, 0))[:, -1]).item()

    def effect(row: int) -> float:
        pair, pos, feature = (
            int(x[row]) for x in (run.units.pair, run.units.pos, run.units.feature)
        )
        name, at = (
            (features, (..., pos, feature)) if feature >= 0 else (error, (..., pos, slice(None)))
        )
        set_to_clean = partial(_set, value=clean[pair][name][at], at=at)
        logits = bridge.run_with_hooks(_ids(run, pair, 0), fwd_hooks=[(name, set_to_clean)])
        return run.metric_of(pair, logits[:, -1]).item() - base[pair]

    return lambda: _one_by_one(effect, rows)


def hook_loop(run: rs.PairedRun, rows: Rows) -> Loop:
    """Through Hugging Face's model, with a forward pre-hook on the block of a resid_pre site."""
    (site,) = run.sites
    block, hf = run.model.blocks[site.layer], run.model.hf
    vectors = dict(zip(rows.tolist(), step_vectors(run, rows), strict=True))

    def metric(pair: int) -> float:
        return run.metric_of(
            pair, hf(input_ids=_ids(run, pair, 0), use_cache=False).logits[:, -1]
        ).item()

    with torch.no_grad():
        base = {pair: metric(pair) for pair in sorted(set(run.units.pair[rows].tolist()))}

    def effect(row: int) -> float:
        pair, pos = int(run.units.pair[row]), int(run.units.pos[row])

        def add(_block: torch.nn.Module, args: tuple) -> tuple:
            x = args[0].clone()
            x[:, pos] += vectors[row]
            return (x, *args[1:])

        handle = block.register_forward_pre_hook(add)
        try:
            return metric(pair) - base[pair]
        finally:
            handle.remove()

    return lambda: _one_by_one(effect, rows)


def _bridge_with_sae(run: rs.PairedRun) -> tuple[SAETransformerBridge, str, str]:
    """The bridge around a copy of the model, and the hooks of the SAE's features and error term."""
    (dictionary,) = run.dictionaries.values()
    sae = copy.deepcopy(dictionary.sae)
    bridge = SAETransformerBridge.boot_transformers(
        run.model.config.name_or_path,
        hf_model=copy.deepcopy(run.model.hf),  # the bridge puts its own parts into the model
        tokenizer=run.model.tokenizer,
        dtype=run.model.dtype,
        device=run.model.device,
    )
    bridge.add_sae(sae, use_error_term=True)
    return bridge, bridge.get_sae_hook_name(sae), bridge.get_sae_hook_name(sae, "hook_sae_error")


def _set(x: Tensor, hook: object, value: Tensor, at: tuple) -> Tensor:  # noqa: ARG001 - its caller names it
    x = x.clone()
    x[at] = value
    return x


def _ids(run: rs.PairedRun, pair: int, clean: int) -> Tensor:
    return run.prompt_ids(pair)[clean : clean + 1]


@torch.no_grad()
def _one_by_one(effect: Callable[[int], float], rows: Rows) -> np.ndarray:
    return np.array([effect(int(row)) for row in rows])
