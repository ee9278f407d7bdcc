"""Integrated gradients: what they converge to, and how fast."""

import numpy as np
import pytest
import torch

from relp_sae.attribution import attribute
from relp_sae.patching import patch
from relp_sae.records import Site


@pytest.mark.parametrize("site", ["resid_pre.1", "attn_out.0", "mlp_out.1"])
def test_sum_converges_quadratically_to_the_effect_of_all_of_x(load_tiny, make_run, plain, site):
    """Midpoints: four times closer with twice the steps. A one-sided sum would be twice closer."""
    run = make_run(load_tiny("gpt2", "float64"), site)
    targets = []
    for index, pair in enumerate(run.pairs):
        _, clean = plain.ends(run, index, run.sites[0])
        ids = torch.tensor([pair.corrupted_ids])
        replaced = plain.metric(run, index, ids, run.sites[0], lambda _x, clean=clean: clean[None])
        targets.append(replaced.item() - run.measured[index].corrupted_metric)
    errors = []
    for steps in (64, 128, 256):
        scores = attribute(run, f"integrated-gradients:{steps}")
        sums = [scores.score[scores.units.pair == index].sum() for index in range(len(run.pairs))]
        errors.append(np.abs(np.subtract(sums, targets)))
    assert np.all(errors[-1] <= 1e-3 * np.abs(targets))
    np.testing.assert_allclose(errors[0] / errors[1], 4, rtol=0.1)
    np.testing.assert_allclose(errors[1] / errors[2], 4, rtol=0.1)


@pytest.mark.parametrize("site", ["resid_pre.1", "resid_mid.0", "mlp_out.2"])
def test_one_step_is_the_gradient_at_the_middle(load_tiny, make_run, plain, family, site):
    run = make_run(load_tiny(family, "float64"), site)
    scores = attribute(run, "integrated-gradients:1")
    expected = []
    for index, pair in enumerate(run.pairs):
        corrupted, clean = plain.ends(run, index, run.sites[0])
        middle = (corrupted + clean)[None] / 2
        ids = torch.tensor([pair.corrupted_ids])
        slope = plain.slope(run, index, ids, run.sites[0], lambda _x, middle=middle: middle)[0]
        (steps,) = run.steps(index)
        expected.append((steps.vector * slope[steps.pos]).sum(-1))
    expected = torch.cat(expected).numpy()
    tolerance = {"gpt2": 1e-9}.get(family, 1e-4) * np.abs(expected).max()
    np.testing.assert_allclose(scores.score, expected, rtol=0, atol=tolerance)


def test_n_steps_are_the_mean_of_the_gradients_at_n_midpoints(load_tiny, make_run, plain):
    run = make_run(load_tiny("gpt2", "float64"), "resid_pre.1")
    scores = attribute(run, "integrated-gradients:3")
    corrupted, clean = plain.ends(run, 0, Site(1, "resid_pre"))
    ids = torch.tensor([run.pairs[0].corrupted_ids])
    slopes = [
        plain.slope(
            run, 0, ids, run.sites[0], lambda _x, t=t: (corrupted + t * (clean - corrupted))[None]
        )[0]
        for t in (1 / 6, 3 / 6, 5 / 6)
    ]
    (steps,) = run.steps(0)
    expected = (steps.vector * (sum(slopes) / 3)[steps.pos]).sum(-1).numpy()
    mine = scores.score[scores.units.pair == 0]
    # The package's midpoints are float32, which moves a point by 1e-8.
    np.testing.assert_allclose(mine, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_the_default_is_ten_steps(paired_run):
    ten, default = (
        attribute(paired_run, name) for name in ("integrated-gradients:10", "integrated-gradients")
    )
    np.testing.assert_array_equal(default.score, ten.score)
    assert (default.name, ten.name) == ("integrated-gradients", "integrated-gradients:10")
    assert (attribute(paired_run, "integrated-gradients:2").score != ten.score).any()


def path_of_one_unit(run, plain, steps, unit, points):
    """The unit's step times the mean slope while this unit alone moves to its clean value."""
    pos, step = steps.pos[unit], steps.vector[unit]
    ids = torch.tensor([run.pairs[0].corrupted_ids]).expand(len(points), -1)

    def moved(x):
        along = x.clone()
        along[:, pos] += points[:, None] * step
        return along

    slope = plain.slope(run, 0, ids, steps.site, moved).mean(0)
    return (slope[pos] * step).sum().item()


def test_a_path_of_one_unit_converges_to_its_denoising_effect(load_tiny, make_run, plain):
    """Ties the truth to the gradient: the same number by calculus and by intervention."""
    run = make_run(load_tiny("gpt2", "float64"), "resid_pre.1")
    truth = patch(run, "denoise")
    (steps,) = run.steps(0)
    measured = truth.score[truth.units.pair == 0]
    points = (torch.arange(64, dtype=torch.float64) + 0.5) / 64
    integrated = [path_of_one_unit(run, plain, steps, u, points) for u in range(len(steps.pos))]
    largest = np.abs(measured).max()
    np.testing.assert_allclose(integrated, measured, rtol=0, atol=1e-3 * largest)
    gradient = attribute(run, "gradient").score[truth.units.pair == 0]
    assert np.abs(gradient - measured).max() > 1e-2 * largest  # the path was needed
