"""From pairs to figures on a model with a behaviour: the parts fit, and the figures make sense."""

from functools import cache

import numpy as np
import pytest
import torch

from relp_sae.attribution import attribute, methods
from relp_sae.faithfulness import compare
from relp_sae.metrics import metrics
from relp_sae.models import at_sites
from relp_sae.patching import patch, truths
from relp_sae.records import ERROR_UNIT
from relp_sae.run import PairedRun
from relp_sae.tasks import tasks

BASES = {"denoise": "corrupted", "noise": "clean"}
"""Truth -> the run in which it changes units, whose slopes are its first order."""

VARIANTS = ("ioi", "ioi-abc", "ioi-order")


def pearson(one, other):
    """Over the features of all pairs together."""
    features = ~one.units.is_error
    return np.corrcoef(one.score[features], other.score[features])[0, 1]


@pytest.fixture(scope="module")
def run_of(toy_ioi_run):
    """A run of a variant of the task on the same sentences, each made and measured once."""

    @cache
    def make(task="ioi", metric="logit_diff"):
        if (task, metric) == ("ioi", "logit_diff"):
            return toy_ioi_run
        pairs = tasks[task](toy_ioi_run.model.tokenizer, n=16, seed=0)
        return PairedRun(toy_ioi_run.model, toy_ioi_run.dictionaries, pairs, metrics[metric])

    return make


@pytest.fixture(scope="module")
def truth_of(run_of):
    @cache
    def measure(truth, **run):
        return patch(run_of(**run), truth)

    return measure


@pytest.fixture(scope="module")
def measured(truth_of):
    return {truth: truth_of(truth) for truth in BASES}


def test_the_behaviour_is_there_and_flips(toy_ioi_run):
    assert toy_ioi_run.kept == list(range(16))
    for one in toy_ioi_run.measured:
        assert one.clean_metric > 2
        assert one.corrupted_metric < -2


@pytest.mark.parametrize("truth", BASES)
@pytest.mark.parametrize("task", VARIANTS)
def test_the_gradient_at_a_run_follows_the_truth_of_that_run(run_of, truth_of, task, truth):
    estimate = attribute(run_of(task), "gradient", base=BASES[truth])
    assert pearson(estimate, truth_of(truth, task=task)) > 0.75


@pytest.mark.parametrize("truth", BASES)
@pytest.mark.parametrize("method", ["relp", "relp-ah"])
def test_relevance_follows_the_truth_of_the_flip(run_of, truth_of, method, truth):
    estimate = attribute(run_of(), method, base=BASES[truth])
    assert pearson(estimate, truth_of(truth)) > 0.85


@pytest.mark.parametrize("truth", BASES)
@pytest.mark.parametrize("task", VARIANTS)
def test_baselines_follow_no_truth(run_of, truth_of, task, truth):
    measured = truth_of(truth, task=task)
    assert abs(pearson(attribute(run_of(task), "random"), measured)) < 0.1
    if task != "ioi":  # a flipped giver moves little but what matters, so lengths tell much
        assert abs(pearson(attribute(run_of(task), "delta-norm"), measured)) < 0.4


@pytest.mark.parametrize("metric", list(metrics))
def test_every_metric_can_be_patched_and_attributed(run_of, truth_of, metric):
    estimate = attribute(run_of(metric=metric), "gradient")
    assert pearson(estimate, truth_of("denoise", metric=metric)) > 0.75


def test_large_effects_support_the_answer(measured):
    """The sign: what decides for the answer counts positive, in the metric's unit."""
    for truth in measured.values():
        largest = np.abs(truth.score).argsort()[-20:]
        assert (truth.score[largest] > 1).all()


def test_units_begin_at_the_flipped_giver(toy_ioi_run, measured):
    units = measured["denoise"].units
    for index, pair in enumerate(toy_ioi_run.pairs):
        changed = [
            pos
            for pos, (clean, corrupted) in enumerate(
                zip(pair.clean_ids, pair.corrupted_ids, strict=True)
            )
            if clean != corrupted
        ]
        assert len(changed) == 1
        positions = units.pos[units.pair == index]
        assert set(positions.tolist()) == set(range(changed[0], len(pair.clean_ids)))


def test_error_units_are_measured_and_all_units_together_are_everything(toy_ioi_run, measured):
    """Setting every unit of the site, error units too, to its clean value is the clean run."""
    errors = measured["denoise"].units.feature == ERROR_UNIT
    assert np.abs(measured["denoise"].score[errors]).max() > 0
    (site,) = toy_ioi_run.sites
    for index, pair in enumerate(toy_ioi_run.pairs[:4]):
        (steps,) = toy_ioi_run.steps(index)
        added = torch.zeros(len(pair.clean_ids), toy_ioi_run.model.d_model)
        added.index_add_(0, steps.pos, steps.vector)
        with torch.no_grad(), at_sites(toy_ioi_run.model, {site: lambda _x, a=added: a}):
            logits = toy_ioi_run.model.last_logits(torch.tensor([pair.corrupted_ids]))
        clean = toy_ioi_run.measured[index].clean_metric
        assert toy_ioi_run.metric_of(index, logits).item() == pytest.approx(clean, abs=1e-3)


@pytest.mark.parametrize("task", VARIANTS)
def test_every_variant_runs_through_every_method_and_truth(toy_ioi_model, toy_ioi_saes, task):
    pairs = tasks[task](toy_ioi_model.tokenizer, n=3, seed=1)
    run = PairedRun(toy_ioi_model, toy_ioi_saes, pairs, metrics["logit_diff"])
    assert len(run.kept) == 3
    measured = [patch(run, name) for name in truths]
    for scores in measured + [attribute(run, name) for name in methods]:
        assert len(scores.score) == len(run.units)
        assert np.isfinite(scores.score).all()
        assert scores.score.any()


def test_the_comparison_gives_the_same_figure(toy_ioi_run, measured):
    estimate = attribute(toy_ioi_run, "relp")
    figures = {one.measure: one for one in compare(estimate, measured["denoise"], bootstrap=100)}
    found = figures["pearson"]
    assert (found.estimate, found.base, found.truth) == ("relp", "corrupted", "denoise")
    assert found.pooled.value == pytest.approx(pearson(estimate, measured["denoise"]))
    assert len(found.per_pair) == 16
    assert found.mean.low < found.mean.value < found.mean.high
