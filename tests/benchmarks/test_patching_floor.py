"""The FLOP formulas against PyTorch's own counter, and against sums written out."""

import numpy as np
import pytest
import torch

import relp_sae as rs
from relp_sae.models import read_sites

LAYER = 1


@pytest.fixture(scope="module")
def floor(benchmark):
    return benchmark("floor")


def test_a_block_of_a_whole_prompt(floor, llama_model):
    """All positions at once: eager attention computes hidden keys as well."""
    length, ids = 9, torch.arange(9)[None]
    seen, _ = read_sites(llama_model, [rs.records.Site(LAYER, "resid_pre")], ids)
    x = next(iter(seen.values()))
    rotary = llama_model.hf.base_model.rotary_emb(x, ids)
    block = llama_model.blocks[LAYER]
    counted = floor.issued_flops(lambda: block(x, position_embeddings=rotary))
    formula = length * floor.linear_flops(block)
    formula += floor.attention_flops(llama_model, length, length)
    assert counted == formula


def test_a_patch_at_the_last_position(floor, llama_run):
    """There the suffix of one position has nothing hidden and nothing that is not needed."""
    model, length = llama_run.model, 7
    last = model.n_layers - 1
    block = floor.linear_flops(model.blocks[LAYER]) + floor.attention_flops(model, 1, length)
    expected = (last - LAYER + 1) * block + 4 * model.d_model
    assert floor.useful_flops(model, LAYER, length, remaining=1) == expected


def test_each_further_position_adds_what_it_sees(floor, llama_run):
    model, length = llama_run.model, 7
    last, d_head = model.n_layers - 1, model.d_model // model.config.num_attention_heads
    key_value = 2 * 2 * model.d_model * model.config.num_key_value_heads * d_head
    for remaining in range(2, length + 1):
        more = floor.useful_flops(model, LAYER, length, remaining)
        less = floor.useful_flops(model, LAYER, length, remaining - 1)
        visible = length - remaining + 1
        seen = floor.attention_flops(model, 1, visible)
        linear = floor.linear_flops(model.blocks[LAYER])
        assert more - less == (last - LAYER) * (linear + seen) + key_value


def test_the_packed_engine_issues_little_more_than_is_useful(floor, llama_run):
    every = np.arange(len(llama_run.units))
    useful = floor.useful_flops_of(llama_run, every)
    issued = floor.issued_flops(lambda: rs.patch(llama_run, "denoise", engine="packed"))
    assert useful < issued < 1.5 * useful


def test_the_suffix_issues_whole_sequences(floor, benchmark, llama_run):
    """One a unit and one unchanged, from the site's block on, and the unembedding of each."""
    model, rows = llama_run.model, np.flatnonzero(llama_run.units.pair == 0)
    length = len(llama_run.pairs[0].clean_ids)
    block = length * floor.linear_flops(model.blocks[0])
    block += floor.attention_flops(model, length, length)
    unembedding = 2 * model.unembedding().numel()
    run = (model.n_layers - LAYER) * block + unembedding
    suffix = benchmark("suffix")
    for batch in (4, suffix.BATCH):
        counted = floor.issued_flops(suffix.suffix_loop(llama_run, rows, batch))
        assert counted == pytest.approx((1 + len(rows)) * run, rel=0.01)  # rotary tables


def test_the_suffix_runs_the_unchanged_prompt_in_the_first_batch(benchmark, llama_run):
    """No pass is made before, and none for the unchanged prompt alone."""
    rows, sizes = np.flatnonzero(llama_run.units.pair == 1)[:10], []
    effects = benchmark("suffix").suffix_loop(llama_run, rows, batch=4)
    blocks = llama_run.model.blocks
    handles = [
        block.register_forward_pre_hook(
            lambda _block, args, at=at: sizes.append((at, len(args[0])))
        )
        for at, block in enumerate(blocks)
    ]
    try:
        effects()
    finally:
        for handle in handles:
            handle.remove()
    assert sizes == [(at, size) for size in (5, 4, 2) for at in range(LAYER, len(blocks))]


def test_the_gemm_rate_is_a_rate(floor, llama_model):
    assert 1e6 < floor.gemm_rate(llama_model, rows=64) < 1e15


def test_without_onednn_the_rate_is_torchs_and_flops_are_counted(floor, llama_model, monkeypatch):
    """As PyTorch is built for some processors."""
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", None)  # nothing may call it
    assert 1e6 < floor.gemm_rate(llama_model, rows=64) < 1e15
    x = torch.randn(5, llama_model.d_model)
    up = llama_model.blocks[0].mlp.up_proj
    assert floor.issued_flops(lambda: up(x)) == 2 * 5 * up.weight.numel()
