"""Every way that the patching benchmark compares finds the same effects."""

import numpy as np
import pytest

import relp_sae as rs


@pytest.fixture(scope="module")
def truth(llama_run):
    return rs.patch(llama_run, "denoise", engine="reference").score


def _alike(found, expected):
    assert np.abs(expected).max() > 0
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("batch", [1, 3, 128])
def test_the_suffix_in_batches_of_any_size(benchmark, llama_run, truth, batch):
    every = np.arange(len(truth))
    _alike(benchmark("suffix").suffix_loop(llama_run, every, batch)(), truth)


@pytest.mark.parametrize("name", ["hook_loop", "bridge_loop"])
def test_one_forward_a_unit(benchmark, llama_run, truth, name):
    rows = np.flatnonzero(llama_run.units.is_error | (np.arange(len(truth)) % 5 == 0))
    assert llama_run.units.is_error[rows].any()
    assert (~llama_run.units.is_error[rows]).any()
    before = llama_run.model.sha256()
    _alike(getattr(benchmark("naive"), name)(llama_run, rows)(), truth[rows])
    assert llama_run.model.sha256() == before


@pytest.mark.parametrize("site", ["z.1", "mlp_in.1", "mlp_out.1"])
def test_sae_lens_own_splice_finds_the_same_inside_a_block(benchmark, model, make_run, site):
    run = make_run(model, site)
    rows = np.arange(0, len(run.units), 5)
    expected = rs.patch(run, "denoise").score[rows]
    _alike(benchmark("naive").bridge_loop(run, rows)(), expected)


@pytest.mark.parametrize("loop", ["suffix_loop", "hook_loop", "bridge_loop"])
def test_a_sample_of_some_pairs(benchmark, llama_run, truth, loop):
    rows = np.flatnonzero(llama_run.units.pair == 1)[::7]
    make = getattr(benchmark("suffix" if loop == "suffix_loop" else "naive"), loop)
    _alike(make(llama_run, rows)(), truth[rows])


def test_the_ways_measure_the_units_they_say(benchmark, llama_run, truth):
    for way in benchmark("ways").float32_ways(llama_run, sample=3):
        _alike(way.effects(), truth[way.rows])
