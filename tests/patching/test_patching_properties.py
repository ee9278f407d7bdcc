"""What holds for exact patching whatever the model."""

from dataclasses import replace

import grimp
import numpy as np
import pytest
import torch

from relp_sae.errors import InputError
from relp_sae.models import at_sites, read_sites
from relp_sae.patching import Measuring, engines, patch, truths
from relp_sae.patching.sets import UnitSets
from relp_sae.records import Site
from relp_sae.records.site import KINDS


@pytest.mark.parametrize("truth", ["denoise", "noise"])
def test_the_size_of_packs_does_not_matter(tiny_run, packs_of, family, truth):
    sites = Site(1, "resid_pre"), Site(2, "mlp_out")
    run = tiny_run(family, *sites, dtype="float64", pairs=((5, (1, 3)), (3, (2,))))
    effects, rows = truths[truth].effects, np.arange(len(run.units))
    one, three, all_at_once = (
        effects(run, rows, Measuring(packs_of(n))).effect for n in (1, 11, 10_000)
    )
    relative = {"gpt2": 1e-10}.get(family, 1e-5)  # Llama's norms are float32 in any dtype
    tolerance = relative * np.abs(one).max()
    np.testing.assert_allclose(three, one, rtol=0, atol=tolerance)
    np.testing.assert_allclose(all_at_once, one, rtol=0, atol=tolerance)


@pytest.mark.parametrize("truth", ["denoise", "noise"])
def test_other_pairs_do_not_matter(tiny_run, truth):
    """Prompts stand side by side in a pack, and see nothing of each other."""
    run = tiny_run("gpt2", Site(0, "resid_mid"), dtype="float64", pairs=((6, (1, 4)),) * 3)
    together = patch(run, truth)
    for index, pair in enumerate(run.pairs):
        alone = patch(replace(run, pairs=[pair]), truth).score
        shared = together.score[together.units.pair == index]
        np.testing.assert_allclose(shared, alone, rtol=0, atol=1e-10 * np.abs(alone).max())


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_all_units_at_once_replace_x(tiny_run, family, kind):
    """At a site where one position differs: all its steps together are x_clean there."""
    site = Site(1, kind)
    run = tiny_run(family, site, pairs=((6, (5,)),))
    (pair,) = run.pairs
    sets = UnitSets(run, 0, site, engines["packed"]())
    (moved_at_once,) = sets.metric(np.ones((1, len(sets)), bool))
    clean, _ = read_sites(run.model, [site], torch.tensor([pair.clean_ids]))
    with at_sites(run.model, {site: lambda x: clean[site] - x}):
        replaced = run.metric_of(0, run.model.last_logits(torch.tensor([pair.corrupted_ids])))
    moved = abs(replaced - run.measured[0].corrupted_metric)
    assert moved > 1e-2
    assert abs(moved_at_once - replaced) <= 1e-4 * moved


@pytest.mark.parametrize("kind", ["resid_pre", "resid_mid", "resid_post"])
@torch.no_grad()
def test_all_units_of_the_stream_at_once_make_the_clean_run(tiny_run, family, kind):
    run = tiny_run(family, Site(1, kind))
    found = []
    for index, pair in enumerate(run.pairs):
        (steps,) = run.steps(index)
        added = torch.zeros(len(pair.clean_ids), run.model.d_model)
        added.index_add_(0, steps.pos, steps.vector)
        with at_sites(run.model, {run.sites[0]: lambda _x, added=added: added}):
            logits = run.model.last_logits(torch.tensor([pair.corrupted_ids]))
        found.append(run.metric_of(index, logits).item())
    clean = np.array([one.clean_metric for one in run.measured])
    corrupted = np.array([one.corrupted_metric for one in run.measured])
    largest = np.abs(clean - corrupted).max()
    assert largest > 0.1
    np.testing.assert_allclose(found, clean, rtol=0, atol=1e-4 * largest)


def test_at_the_last_position_after_the_last_block_only_the_final_norm_is_left(tiny_run, family):
    """There an effect can be written out: norm and unembedding of the changed stream."""
    site = Site(2, "resid_post")
    run = tiny_run(family, site, pairs=((4, (3,)),))
    (steps,), (pair,) = run.steps(0), run.pairs
    x = run.activations[0].corrupted[site][-1]
    final_norm = run.model.module(run.model.family.final_norm)
    logits = run.model.hf.get_output_embeddings()(final_norm(x + steps.vector))
    difference = logits[:, pair.answer] - logits[:, pair.foil]
    expected = difference.double().numpy() - run.measured[0].corrupted_metric
    score = patch(run, "denoise").score
    np.testing.assert_allclose(score, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_effects_before_the_last_position_after_the_last_block_are_zero(tiny_run):
    run = tiny_run("gpt2", Site(2, "resid_post"), pairs=((6, (2,)),))
    measured = patch(run, "denoise")
    earlier = measured.units.pos < 5
    assert earlier.any()
    # Not exactly zero: a matrix product's rounding depends on where in the batch a row stands.
    assert np.abs(measured.score[earlier]).max() < 1e-5 * np.abs(measured.score).max()
    assert measured.score[~earlier].any()


@pytest.mark.parametrize("name", list(truths))
def test_a_truth_is_a_record_of_the_runs_units(tiny_run, name):
    run = tiny_run("llama", Site(1, "resid_pre"))
    measured = patch(run, name)
    assert (measured.kind, measured.name, measured.base) == ("truth", name, truths[name].base)
    assert len(measured.score) == len(measured.stderr) == len(run.units)
    assert np.isfinite(measured.score).all()
    assert measured.units is run.units


@pytest.mark.parametrize("name", list(truths))
def test_patching_leaves_the_model_as_it_was(tiny_run, state_of, family, name):
    run = tiny_run(family, Site(0, "resid_mid"), Site(2, "attn_out"))
    ids = torch.tensor([run.pairs[1].clean_ids])
    before, logits = state_of(run.model), run.model.last_logits(ids)
    patch(run, name)
    assert state_of(run.model) == before
    assert torch.equal(run.model.last_logits(ids), logits)


@pytest.mark.parametrize("name", list(truths))
@pytest.mark.parametrize("passes", [0, 1, 2, 3, 5])
def test_a_failure_leaves_the_model_as_it_was(tiny_run, state_of, name, passes):
    """The last block fails at its n-th pass, wherever patching is by then."""
    run = tiny_run("gpt2", Site(0, "resid_mid"))
    assert run.kept  # measured before the failure
    before = state_of(run.model)
    left = iter(range(passes))

    def fail(_module, _args):
        if next(left, None) is None:
            raise RuntimeError("out of memory")

    handle = run.model.blocks[-1].register_forward_pre_hook(fail)
    try:
        with pytest.raises(RuntimeError, match="out of memory"):
            patch(run, name)
    finally:
        handle.remove()
    assert state_of(run.model) == before


def test_an_unknown_truth_gets_a_suggestion(tiny_run):
    run = tiny_run("gpt2", Site(1, "resid_pre"))
    with pytest.raises(InputError, match=r"Unknown truth 'denoising'\. Did you mean 'denoise'\?"):
        patch(run, "denoising")


def test_bfloat16_is_refused(load_tiny, make_run):
    run = make_run(load_tiny("gpt2", "bfloat16"), "resid_pre.1")
    with pytest.raises(InputError, match="Use float32 or float64"):
        patch(run, "denoise", progress=pytest.fail)


def test_dropped_pairs_are_not_patched(tiny_run):
    run = tiny_run("gpt2", Site(1, "resid_pre"))
    wrong = replace(run.pairs[0], answer=run.pairs[0].foil, foil=run.pairs[0].answer)
    partly = replace(run, pairs=[wrong, *run.pairs[1:]])
    assert set(patch(partly, "noise").units.pair.tolist()) == {1, 2, 3}


def test_progress_sees_every_shard(tiny_run):
    run, seen = tiny_run("gpt2", Site(1, "resid_pre")), []

    def watch(pieces):
        for rows in pieces:
            seen.extend(rows.tolist())
            yield rows

    patch(run, "denoise", progress=watch)
    assert seen == list(range(len(run.units)))


@pytest.fixture(scope="module")
def imports():
    return grimp.build_graph("relp_sae", cache_dir=None)


@pytest.mark.parametrize("room", ["patching", "saes"])
def test_never_imports_rules(imports, room):
    """A truth must not be able to see the surrogates that it judges, not even by a detour."""
    assert not imports.chain_exists(f"relp_sae.{room}", "relp_sae.rules", as_packages=True)


def test_the_import_graph_sees_who_does_import_rules(imports):
    assert imports.chain_exists("relp_sae.attribution", "relp_sae.rules", as_packages=True)
