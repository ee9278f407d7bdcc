"""The packed engine against the reference engine, its packs, and what it does out of memory."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers.masking_utils import create_sliding_window_causal_mask
from transformers.models.llama import modeling_llama

from relp_sae.errors import RunError
from relp_sae.metrics import metrics
from relp_sae.models import load_model
from relp_sae.patching import engines, patch
from relp_sae.patching.interventions import Interventions
from relp_sae.patching.packed.groups import Entry, Group, packs
from relp_sae.patching.packed.prompts import Prompt
from relp_sae.records import Site
from relp_sae.records.site import KINDS
from relp_sae.saes.whole_node import whole_nodes

TOLERANCE = {"float32": 1e-4, "float64": 1e-10}
"""Largest difference allowed, over the largest effect."""

LENGTHS = ((6, (2, 4)), (3, (2,)), (6, (0,)), (9, (7,)))


def assert_engines_agree(run, interventions, dtype):
    packed = engines["packed"]().changes(run, interventions)
    reference = engines["reference"]().changes(run, interventions)
    # An effect is a difference of logits, whose rounding does not shrink with it.
    largest = max(0.1, *(np.abs(one).max() for one in reference))
    for one, other in zip(packed, reference, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=TOLERANCE[dtype] * largest)


def intervention(run, wanted):
    """Runs that add noise to x, each from its own start on, at one or at all later positions."""
    pair, width = run.kept[wanted["which"] % len(run.kept)], wanted["width"]
    length = len(run.pairs[pair].clean_ids)
    starts = torch.tensor(wanted["starts"]).clamp(max=length)
    shape = len(starts), length, run.model.width(wanted["site"])
    draw = torch.Generator().manual_seed(wanted["seed"])
    noise = torch.randn(shape, generator=draw, dtype=run.model.dtype)

    def added(rows):
        start = int(starts[rows[0]])
        return noise[rows, start : None if width is None else start + width]

    return Interventions(pair, wanted["from_clean"], wanted["site"], starts, width, added)


ANY = st.fixed_dictionaries(
    {
        "which": st.integers(0, 3),
        "from_clean": st.booleans(),
        "site": st.builds(Site, st.integers(0, 2), st.sampled_from(KINDS)),
        "starts": st.lists(st.integers(0, 9), min_size=1, max_size=6),
        "width": st.sampled_from([1, None]),
        "seed": st.integers(0, 10**6),
    }
)


@pytest.mark.usefixtures("float64_throughout")
@pytest.mark.parametrize("metric", list(metrics))
@pytest.mark.parametrize("dtype", TOLERANCE)
@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(wanted=st.lists(ANY, min_size=1, max_size=4))
def test_equals_the_reference(tiny_run, family, dtype, metric, wanted):
    run = tiny_run(family, Site(1, "resid_pre"), dtype=dtype, pairs=LENGTHS)
    run = replace(run, metric=metrics[metric])
    assert_engines_agree(run, [intervention(run, one) for one in wanted], dtype)


@pytest.mark.usefixtures("float64_throughout")
@pytest.mark.parametrize("truth", ["denoise", "noise"])
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_truths_equal_the_reference_at_all_sites_together(
    load_tiny, tiny_run, any_family, dtype, truth
):
    kinds = load_tiny(any_family).site_kinds
    sites = [Site(layer, kind) for layer in (0, 2) for kind in kinds]
    run = tiny_run(any_family, *sites, dtype=dtype, pairs=((6, (2, 4)), (4, (3,))))
    packed, reference = (patch(run, truth, engine=name).score for name in engines)
    largest = np.abs(reference).max()
    assert largest > 0.1
    np.testing.assert_allclose(packed, reference, rtol=0, atol=TOLERANCE[dtype] * largest)


@pytest.mark.usefixtures("float64_throughout")
def test_whole_nodes_equal_the_reference(tiny_run, family):
    run = tiny_run(family, Site(1, "resid_pre"), dtype="float64", pairs=LENGTHS)
    run = replace(run, dictionaries=whole_nodes(run.model))
    packed, reference = (patch(run, "noise", engine=name).score for name in engines)
    np.testing.assert_allclose(packed, reference, rtol=0, atol=1e-10 * np.abs(reference).max())


@pytest.mark.usefixtures("float64_throughout")
def test_sampled_truths_equal_the_reference(tiny_run, family):
    run = tiny_run(family, Site(1, "attn_out"), dtype="float64", pairs=((6, (2, 4)),))
    packed, reference = (
        patch(run, "shapley", engine=name, permutations=4).score for name in engines
    )
    np.testing.assert_allclose(packed, reference, rtol=0, atol=1e-10 * np.abs(reference).max())


def test_a_sliding_window_is_the_familys_own(save_tiny, tiny_run, monkeypatch):
    """Positions that a window hides stay hidden: the mask is the one that the family makes."""
    like = tiny_run("llama", Site(0, "resid_pre"), pairs=((9, (2, 5)),))
    model = load_model(str(save_tiny("llama")))
    model.config.sliding_window = 3
    full = patch(like, "denoise").score
    monkeypatch.setattr(modeling_llama, "create_causal_mask", create_sliding_window_causal_mask)
    run = replace(like, model=model)
    packed, reference = (patch(run, "denoise", engine=name).score for name in engines)
    assert np.abs(reference - full).max() > 1e-2  # the window matters
    np.testing.assert_allclose(packed, reference, rtol=0, atol=1e-4 * np.abs(reference).max())


def test_attention_that_is_not_what_the_engine_computes_is_refused(tiny_run, monkeypatch):
    def sinking(module, query, key, value, attention_mask, scaling, **kwargs):
        out, pattern = eager(module, query, key, value, attention_mask, scaling, **kwargs)
        return out / 2, pattern

    eager = modeling_llama.eager_attention_forward
    monkeypatch.setattr(modeling_llama, "eager_attention_forward", sinking)
    run = tiny_run("llama", Site(1, "resid_pre"))
    with pytest.raises(RunError, match="computes something else"):
        patch(run, "denoise")
    assert np.isfinite(patch(run, "denoise", engine="reference").score).all()


@pytest.mark.parametrize("family_name", ["phi3", "llama"])
def test_longrope_is_refused_where_rows_would_turn_by_other_frequencies(
    save_tiny, tiny_run, family_name
):
    rope = {"rope_type": "longrope", "rope_theta": 1e4, "factor": 8.0}
    factors = {"short_factor": [1.0] * 4, "long_factor": [4.0] * 4}
    limit = {"original_max_position_embeddings": 8}
    folder = save_tiny(family_name, **limit, rope_parameters={**rope, **factors, **limit})
    model = load_model(str(folder))
    for length in (8, 9):
        like = tiny_run(family_name, Site(1, "resid_pre"), pairs=((length, (3,)), (6, (2,))))
        run = replace(like, model=model)
        reference = patch(run, "denoise", engine="reference").score
        if length == 8:
            packed = patch(run, "denoise").score
            atol = 1e-4 * np.abs(reference).max()
            np.testing.assert_allclose(packed, reference, rtol=0, atol=atol)
        else:
            with pytest.raises(RunError, match=r"longer than the 8 .* use --engine reference"):
                patch(run, "denoise")


# Packs


@settings(max_examples=50, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 12)), max_size=8),
    limit=st.integers(1, 40),
)
def test_packs_hold_every_run_once_in_order_and_no_more_rows_than_allowed(sizes, limit):
    groups = [
        Group(Prompt(0, positions, {}, {}, {}), Entry(0, False), 0, torch.arange(runs), index)
        for index, (positions, runs) in enumerate(sizes)
    ]
    found = list(packs(groups, limit))
    flat = [(g.index, int(row)) for pack in found for g in pack for row in g.rows]
    assert flat == [(i, row) for i, (_, runs) in enumerate(sizes) for row in range(runs)]
    for pack in found:
        rows = sum(group.runs * group.positions for group in pack)
        assert rows <= limit or sum(group.runs for group in pack) == 1
