"""The packed engine's memory: its budget, what it keeps, and what it does when none is left."""

import logging
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from relp_sae.errors import InputError, RunError
from relp_sae.models.memory import row_bytes
from relp_sae.patching import Measuring, engines, patch, truths
from relp_sae.patching.memory import longest_batch
from relp_sae.patching.packed import PackedEngine, prompts
from relp_sae.patching.packed import engine as packed_engine
from relp_sae.patching.packed.attention import PackedAttention
from relp_sae.patching.packed.prompts import unchanged_prompts
from relp_sae.records import Site
from relp_sae.run import memory as shares
from relp_sae.run.memory import BATCH, PROMPTS, parse_memory


def test_sizes_are_read():
    assert parse_memory(None) is None
    assert [parse_memory(size) for size in (7, "7", "2GB", "1 MiB")] == [7, 7, 2 * 10**9, 2**20]
    for size in ("much", "", 0, "0GB", -1, "-2GB"):
        with pytest.raises(InputError, match="Cannot read the memory budget"):
            parse_memory(size)


def test_a_budget_too_small_for_one_unit_names_what_is_needed(tiny_run):
    run = tiny_run("gpt2", Site(1, "resid_pre"), pairs=((8, (2,)),))
    needed = math.ceil(2 * 8 * row_bytes(run.model, 8) / BATCH)
    for engine in engines:
        with pytest.raises(InputError, match=f"needs {needed / 1e6:.1f} MB. Give --memory "):
            patch(replace(run, memory=needed - 1), "denoise", engine=engine)
        enough = patch(replace(run, memory=needed), "denoise", engine=engine)
        assert len(enough.score) == len(run.units)


def test_a_budget_bounds_the_rows(tiny_run):
    run = tiny_run("gpt2", Site(1, "resid_pre"))
    memory = math.ceil(55 * row_bytes(run.model, 10) / BATCH)
    assert longest_batch(replace(run, memory=memory), 10) == 55
    assert longest_batch(replace(run, memory=10**12), 10) == longest_batch(run, 10) == 2048


def test_the_shares_of_the_memory_leave_some_of_it():
    names = ("BATCH", "WEIGHTS", "ACTIVATIONS", "STEPS", "PREFIXES", "PROMPTS", "FREED")
    assert sum(getattr(shares, name) for name in names) == 15 / 16


@pytest.fixture
def fails_above(monkeypatch):
    """``fails_above(rows, error)``: the packed attention of any call with more rows raises it."""

    plain = PackedAttention.__call__

    def arm(rows, error):
        def attention(self, module, query, *args, **kwargs):
            if query.shape[2] > rows:
                raise error
            return plain(self, module, query, *args, **kwargs)

        monkeypatch.setattr(PackedAttention, "__call__", attention)

    return arm


ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory."),
    MemoryError(),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_out_of_memory_halves_the_packs_and_says_so_once(tiny_run, fails_above, caplog, error):
    run = tiny_run("gpt2", Site(0, "resid_mid"), Site(1, "resid_pre"), dtype="float64")
    expected = patch(run, "denoise").score
    fails_above(60, error)
    engine = PackedEngine()
    with caplog.at_level(logging.WARNING):
        rows = np.arange(len(run.units))
        found = truths["denoise"].effects(run, rows, Measuring(engine)).effect
        again = truths["denoise"].effects(run, rows, Measuring(engine)).effect
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(again, expected, rtol=0, atol=1e-10)
    assert engine.most_rows <= 60
    (record,) = caplog.records
    assert "Out of memory" in record.getMessage()
    assert "--memory" in record.getMessage()


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_out_of_memory_at_the_prompts_takes_fewer_of_them(tiny_run, monkeypatch, error):
    run = tiny_run("llama", Site(1, "resid_pre"), dtype="float64")
    expected = patch(run, "denoise").score
    plain, sizes = prompts.record_prompts, []

    def recorded(model, ids, *rest):
        sizes.append(len(ids))
        if len(ids) > 1:
            raise error
        return plain(model, ids, *rest)

    monkeypatch.setattr(prompts, "record_prompts", recorded)
    np.testing.assert_allclose(patch(run, "denoise").score, expected, rtol=0, atol=1e-6)
    assert max(sizes) > 1
    monkeypatch.setattr(prompts, "record_prompts", lambda *_: (_ for _ in ()).throw(error))
    with pytest.raises(RunError, match="not enough for an unchanged run"):
        patch(run, "denoise")


def test_activations_that_were_dropped_are_measured_by_the_model_as_it_is(tiny_run, monkeypatch):
    run = tiny_run("llama", Site(1, "resid_pre"))
    expected = patch(run, "denoise").score
    monkeypatch.setattr("relp_sae.run.paired_run.ACTIVATIONS", 0.0)
    found = patch(replace(run), "denoise").score
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_only_so_many_prompts_are_kept_as_the_budget_has_room_for(tiny_run, monkeypatch):
    run = tiny_run("llama", Site(1, "resid_pre"), pairs=((8, (2,)),) * 12)
    expected = patch(run, "denoise").score
    kept, plain = [], unchanged_prompts

    def counting(run, contexts, *rest):
        kept.append(len(contexts))
        return plain(run, contexts, *rest)

    monkeypatch.setattr(packed_engine, "unchanged_prompts", counting)
    # Keys and values of two blocks (2 x 2 heads x 8), one stream (32), a mask (8), 4 bytes each.
    one = 8 * (2 * 2 * 2 * 8 + 32 + 8) * 4
    found = patch(replace(run, memory=math.ceil(5.5 * one / PROMPTS)), "denoise").score
    assert max(kept) == 5
    assert sum(kept) == 12
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_out_of_memory_with_a_single_run_is_an_error(tiny_run, state_of, fails_above):
    run = tiny_run("gpt2", Site(1, "resid_pre"))
    assert run.kept
    before = state_of(run.model)
    fails_above(0, MemoryError())
    with pytest.raises(RunError, match="not enough for a single patched run"):
        patch(run, "denoise")
    assert state_of(run.model) == before


def test_other_errors_are_not_taken_for_a_lack_of_memory(tiny_run, fails_above):
    run = tiny_run("gpt2", Site(1, "resid_pre"))
    fails_above(0, RuntimeError("shapes do not fit"))
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        patch(run, "denoise")
