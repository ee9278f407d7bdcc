"""Whole nodes: all of x at a position is one unit, in every family."""

import torch

from relp_sae.attribution import attribute
from relp_sae.patching import engines, patch
from relp_sae.records import WHOLE_NODE
from relp_sae.run import PairedRun
from relp_sae.saes import whole_nodes


def test_a_nodes_step_is_the_whole_change(model, make_run):
    like = make_run(model, "resid_pre.1")
    run = PairedRun(model, whole_nodes(model), like.pairs, like.metric)
    assert len(run.sites) == 3 * model.n_layers
    assert set(run.units.feature.tolist()) == {WHOLE_NODE}
    for pair in run.kept:
        seen = run.activations[pair]
        for steps in run.steps(pair):
            change = (seen.clean[steps.site] - seen.corrupted[steps.site])[steps.pos]
            torch.testing.assert_close(steps.vector, change)
            torch.testing.assert_close(steps.delta, change.norm(dim=-1))
            length = seen.corrupted[steps.site][steps.pos].norm(dim=-1)
            torch.testing.assert_close(steps.relative, change.norm(dim=-1) / length)


def test_nodes_inside_a_block_have_the_width_of_their_site(load_tiny, make_run):
    model = load_tiny("gemma2")
    like = make_run(model, "resid_pre.1")
    run = PairedRun(model, whole_nodes(model, ("z", "mlp_in")), like.pairs, like.metric)
    assert {one.site.kind: one.vector.shape[1] for one in run.steps(0)} == {"z": 48, "mlp_in": 32}
    packed, reference = (patch(run, "denoise", engine=name).score for name in engines)
    largest = abs(reference).max()
    assert largest > 1e-2
    assert abs(packed - reference).max() < 1e-4 * largest


def test_the_last_node_of_the_stream_at_the_last_position_is_the_whole_effect(model, make_run):
    """Nothing but it reaches the logits from there; the secant and the patch agree on that."""
    like = make_run(model, "resid_pre.1")
    nodes = whole_nodes(model, ("resid_post",))
    run = PairedRun(model, nodes, like.pairs, like.metric)
    truth, secant = patch(run, "denoise").score, attribute(run, "secant").score
    last = max(run.sites)
    for pair in run.kept:
        here = (run.units.pair == pair) & (run.units.site == str(last))
        here &= run.units.pos == len(run.pairs[pair].clean_ids) - 1
        total = run.measured[pair].clean_metric - run.measured[pair].corrupted_metric
        for score in (truth, secant):
            assert abs(score[here].item() - total) < 1e-4 * abs(total)
