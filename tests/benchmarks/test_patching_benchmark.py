"""The patching benchmark still runs, and says what it has to say."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

KEYS = {
    *("patches_per_second", "ratio_to_naive", "ratio_to_batched_suffix", "gemm_efficiency"),
    *("max_relative_difference", "bfloat16", "memory", "machine", "workload", "growth", "ways"),
    "attribution_seconds_per_pair",
}

MEMORY = {
    **{
        "peak": 3,
        "weights": 1,
        "imported": 1,
        "left": 1,
        "added": 1,
        "before": 2,
        "process_peak": 3,
    },
    **{"found": 4, "patched": 4, "kept": 2, "memory": None},
}


@pytest.fixture
def patching(benchmark, monkeypatch, llama_run):
    """The benchmark with the tiny run in place of the embedded model's."""
    patching, growth = benchmark("patching"), benchmark("growth")
    monkeypatch.setattr(patching, "embedded_run", lambda *_: llama_run)
    monkeypatch.setattr(patching.memory, "measured", lambda _: MEMORY)
    few = {"by_length": lambda *_: growth.by_units(llama_run, 1, (0.5, 1))}
    few["by_d_sae"] = few["by_length"]  # what they need is not there for a tiny model
    monkeypatch.setattr(patching, "growth", SimpleNamespace(**{**vars(growth), **few}))
    return patching


def test_it_prints_a_table_and_writes_it(patching, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["patching.py", "--quick", "--out", str(tmp_path)])
    patching.main()
    found = json.loads((tmp_path / "bench.json").read_text())
    assert set(found) >= KEYS
    assert set(found["workload"]) >= {"model", "site", "pairs", "units", "d_sae"}
    assert set(found["machine"]) >= {"processor", "threads", "torch", "dtype"}
    assert found["max_relative_difference"] < 1e-4
    assert (tmp_path / "growth-units.png").stat().st_size
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert len(rows) == 2 + len(found["ways"]) == 8


@pytest.fixture
def memory(benchmark, save_tiny, sae_folder):
    """``memory(units=0, pairs=6)``: the memory benchmark inside this process, on a tiny model."""
    module = benchmark("memory")
    tiny = {"sae": str(sae_folder("resid_pre.1")), "model": str(save_tiny("llama"))}
    usual = {**tiny, "pairs": 6, "length": 30}
    return lambda **asked: module.inside(module.Asked(**{**usual, **asked}))


def test_memory_is_measured_with_a_few_units_of_several_pairs(memory, benchmark, monkeypatch):
    seen, product = [], benchmark("product")
    plain = product.step_effects

    def noting(run, rows, *given):
        seen.append(run.units.pair[rows].tolist())
        return plain(run, rows, *given)

    monkeypatch.setattr(product, "step_effects", noting)
    monkeypatch.setattr("relp_sae.patching.truth.SHARD", 5)
    few = memory(units=3)
    assert 2 <= few["kept"] <= 6
    assert few["patched"] == 3 * few["kept"] < few["found"]
    assert max(map(len, seen)) == 5
    pairs = [pair for piece in seen for pair in piece]
    assert pairs == [pair for pair in sorted(set(pairs)) for _ in range(3)]
    assert len(set(pairs)) == few["kept"]
    assert f"patching {few['patched']} of them" in benchmark("memory").sentence(few)
    every = memory(memory="1GB")
    assert every["patched"] == every["found"] == few["found"]


def test_growth_finds_the_exponent(benchmark):
    sizes, growth = [1, 2, 4, 8], benchmark("growth").Growth
    for power in (0, 1, 2):
        made = growth("units", "units", "seconds", sizes, [3.0 * x**power for x in sizes])
        assert made.exponent == pytest.approx(power, abs=1e-9)


def test_growth_along_pairs_and_dictionaries(benchmark, llama_run):
    growth = benchmark("growth")
    assert growth.by_pairs(llama_run, 1, (1, 2, 3, 4)).sizes == [1, 2, 3]
    found = growth.by_d_sae(llama_run, 1, (64, 128))
    assert found.sizes == [64, 128]
    assert np.array(found.seconds).min() > 0


def test_a_lengthened_pair_ends_and_differs_as_before(benchmark, llama_run):
    pair = llama_run.pairs[0]
    longer = benchmark("workload").lengthened(pair, 40, llama_run.model.tokenizer)
    assert len(longer.clean_ids) == len(longer.corrupted_ids) == 40
    assert longer.clean_ids[0] == pair.clean_ids[0]
    rest = len(pair.clean_ids) - 1
    assert longer.clean_ids[-rest:] == pair.clean_ids[1:]
    assert longer.corrupted_ids[-rest:] == pair.corrupted_ids[1:]
    assert longer.first_change == pair.first_change + 40 - len(pair.clean_ids)


def test_the_peak_is_seen(benchmark):
    with benchmark("resident").Peak() as peak:
        held = np.ones(40_000_000 // 8)
    assert peak.bytes - peak.before > 30_000_000
    assert held[0]
