"""The embedded model and its bundled SAE: the real things that `relp-sae run` starts from."""

from importlib.resources import files

import numpy as np
import pytest
import torch

import relp_sae as rs
from relp_sae.patching import Change, engines, step_effects
from relp_sae.records import Site
from relp_sae.rules import composites
from relp_sae.rules.inspection import inspect_composite
from relp_sae.run.quality import completeness, sae_quality
from relp_sae.saes import whole_nodes

SITE = Site.parse("resid_pre.15")


@pytest.fixture(scope="module")
def smollm2():
    return rs.load_model("smollm2-135m")


@pytest.fixture(scope="module")
def run(smollm2):
    pairs = rs.tasks["ioi"](smollm2.tokenizer, n=6, seed=3)
    saes = rs.load_saes("smollm2-135m-topk")
    return rs.PairedRun(smollm2, saes, pairs, rs.metrics["logit_diff"])


def test_prompts_begin_with_the_token_the_base_model_was_trained_with(smollm2):
    assert smollm2.tokenizer.bos_token == "<|endoftext|>"
    assert smollm2.tokenizer.bos_token_id == 0


def test_the_model_does_the_task(run):
    assert all(seen.clean_right and not seen.corrupted_right for seen in run.activations)
    assert np.mean([seen.clean_metric for seen in run.activations]) == pytest.approx(4.8, abs=1.0)


@pytest.mark.parametrize("name", rs.tasks)
def test_the_model_does_every_task(smollm2, run, name):
    """Well enough for docs/tasks.md to be right: 8 pairs, most right, the answer well ahead."""
    pairs = rs.tasks[name](smollm2.tokenizer, n=8, seed=0)
    seen = rs.PairedRun(smollm2, run.dictionaries, pairs, run.metric).behaviours
    assert sum(one.clean_right for one in seen) >= 6
    assert np.mean([one.clean_metric for one in seen]) > 1.5


@pytest.mark.parametrize("name", ["relp", "relp-ah", "secant"])
def test_every_rule_acts_everywhere_and_changes_no_logit(smollm2, run, name):
    seen = inspect_composite(smollm2, name, run.prompt_ids(0))
    assert seen.same_logits
    assert {role: counts[1:] for role, counts in seen.audit.items()} == {
        role: (61, 61) if role == "norm" else (30, 30) for role in composites[name].table
    }


def test_the_bundled_sae_is_small_and_good_on_the_pairs(run):
    folder = files("relp_sae.saes") / "bundled" / "smollm2-135m-topk"
    assert len((folder / "sae_weights.safetensors").read_bytes()) < 16e6
    assert "relp-sae train-sae" in (folder / "README.md").read_text()
    quality = sae_quality(run, SITE)
    assert quality.l0 <= 64
    assert quality.explained_variance > 0.7
    assert quality.spliced_clean_metric > 0.5 * quality.clean_metric


def test_the_order_of_the_methods(run):
    """As methods.md has it: the gradient of the patched run is nearly exact, RelP clearly less."""
    feature = ~run.units.is_error
    for truth, base in {"denoise": "corrupted", "noise": "clean"}.items():
        effects = rs.patch(run, truth)
        pearson = {
            method: np.mean(
                [
                    np.corrcoef(scores.score[here], effects.score[here])[0, 1]
                    for here in (feature & (run.units.pair == pair) for pair in run.kept)
                ]
            )
            for method in ("gradient", "relp")
            for scores in [rs.attribute(run, method, base=base)]
        }
        assert pearson["gradient"] > 0.9
        assert pearson["relp"] < pearson["gradient"] - 0.1


def test_the_secant_adds_up_to_the_whole_effect(run):
    for one in completeness(run, rs.attribute(run, "secant")).values():
        assert one.largest < 1e-4


def test_what_the_gradient_misses_is_curvature(run):
    """Patched a twentieth of the way, every feature moves the logits as its gradient says."""
    change = Change(scale=0.05)
    gradient = rs.attribute(run, "gradient")
    rows = np.arange(len(run.units))
    effect = step_effects(run, rows, change, engines["packed"]()) / change.scale
    feature = ~run.units.is_error
    assert np.corrcoef(gradient.score[feature], effect[feature])[0, 1] > 0.995
    torch.testing.assert_close(
        torch.tensor(effect[feature]), torch.tensor(gradient.score[feature]), atol=0.05, rtol=0.2
    )


def test_whole_nodes_are_for_two_point_slopes(smollm2, run):
    """methods.md, section 6: where steps are long, secant before RelP before the gradient."""
    nodes = rs.PairedRun(smollm2, whole_nodes(smollm2), run.pairs[:1], run.metric)
    truth = rs.patch(nodes, "denoise").score
    here = np.char.startswith(nodes.units.site.astype(str), "resid_pre")
    secant, relp, gradient = (
        np.corrcoef(rs.attribute(nodes, name).score[here], truth[here])[0, 1]
        for name in ("secant", "relp", "gradient")
    )
    assert secant > 0.98
    assert secant > relp > gradient
