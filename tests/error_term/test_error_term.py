"""Error terms of later SAEs, against full passes with plain hooks that write the splice out.

Three dictionaries: a TopK SAE before the second block, a transcoder over its MLP, and a ReLU SAE
before the third block. Features and reconstructions are those of SAELens' own objects.
"""

from contextlib import ExitStack, contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch

from relp_sae.attribution import attribute
from relp_sae.errors import InputError
from relp_sae.patching import engines, pair_curves, patch
from relp_sae.records import Site
from relp_sae.rules import composites
from relp_sae.run import PairedRun
from relp_sae.run.quality import completeness
from relp_sae.saes import load_saes
from relp_sae.saes.whole_node import whole_nodes

EARLY, MLP, LATE = Site(1, "resid_pre"), Site(1, "mlp_out"), Site(2, "resid_pre")
SITES = (EARLY, MLP, LATE)
pytestmark = pytest.mark.usefixtures("float64_throughout")


@pytest.fixture(scope="session")
def run(load_tiny, make_run, sae_folder, transcoder_folder, family):
    """The first two pairs, frozen error terms, float64."""
    like = make_run(load_tiny(family, "float64"), "resid_pre.1")
    folders = [
        sae_folder("resid_pre.1"),
        transcoder_folder("mlp_in.1", "mlp_out.1", "skip_transcoder"),
        sae_folder("resid_pre.2", "standard", seed=1),
    ]
    saes = load_saes([str(folder) for folder in folders], dtype="float64")
    return PairedRun(like.model, saes, like.pairs[:2], like.metric, error_term="frozen")


@contextmanager
def hooked(run, change):
    """A full pass in which ``change(site, read, x)`` is the new x at each dictionary's site."""
    blocks = run.model.blocks
    mlp = run.model.in_block(1, run.model.family.mlp)

    def before(site):
        return lambda _module, args: (change(site, args[0], args[0]), *args[1:])

    with ExitStack() as undo:
        for handle in (
            blocks[1].register_forward_pre_hook(before(EARLY)),
            mlp.register_forward_hook(lambda _module, args, out: change(MLP, args[0], out)),
            blocks[2].register_forward_pre_hook(before(LATE)),
        ):
            undo.callback(handle.remove)
        yield


def metric(run, pair, prompt, rows=1):
    ids = torch.tensor([getattr(run.pairs[pair], f"{prompt}_ids")]).expand(rows, -1)
    return run.metric_of(pair, run.model.hf(input_ids=ids).logits[:, -1])


@torch.no_grad()
def errors_of(run, pair, prompt):
    """Each dictionary's error term x - sae(read) in a run of the model as it is (1, pos, width)."""
    errors = {}

    def record(site, read, x):
        errors[site] = x - run.dictionaries[site].sae(read)
        return x

    with hooked(run, record):
        metric(run, pair, prompt)
    return errors


@torch.no_grad()
def effects(run, pair, prompt):
    """The effect of each unit, its step added at its site and all later errors put back."""
    errors, plain, found = errors_of(run, pair, prompt), metric(run, pair, prompt), []
    for steps in run.steps(pair):
        added = torch.zeros(len(steps.pos), *errors[steps.site].shape[1:], dtype=torch.float64)
        sign = 1 if prompt == "corrupted" else -1
        added[torch.arange(len(steps.pos)), steps.pos] = sign * steps.vector

        def change(site, read, x, here=steps.site, added=added):
            if site == here:
                return x + added
            if SITES.index(site) < SITES.index(here):
                return x
            return run.dictionaries[site].sae(read) + errors[site]

        with hooked(run, change):
            found.append(sign * (metric(run, pair, prompt, len(steps.pos)) - plain))
    return torch.cat(found).numpy()


def slopes(run, pair, prompt):
    """The metric's slope at each site by autograd, through sae(x) + (its error as a constant)."""
    leaves = {}

    def change(site, read, x):
        leaves[site] = torch.zeros_like(x, requires_grad=True)
        x_hat = run.dictionaries[site].sae(read)
        return x_hat + (x - x_hat).detach() + leaves[site]

    with hooked(run, change):
        found = torch.autograd.grad(metric(run, pair, prompt).sum(), list(leaves.values()))
    return dict(zip(leaves, found, strict=True))


def assert_close(found, expected):
    assert np.abs(expected).max() > 1e-2
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * np.abs(expected).max())


@pytest.mark.parametrize(("truth", "prompt"), [("denoise", "corrupted"), ("noise", "clean")])
def test_frozen_effects_are_those_with_the_errors_put_back(run, truth, prompt):
    measured = patch(run, truth, engine="reference")
    assert_close(measured.score, np.concatenate([effects(run, p, prompt) for p in run.kept]))
    model_alone = patch(replace(run, error_term="pass-through"), truth).score
    last = measured.units.site == str(LATE)
    assert_close(measured.score[last], model_alone[last])  # nothing is held behind it
    off = np.abs(measured.score - model_alone)[~last].max()
    assert off > 0.1 * np.abs(model_alone).max()


@pytest.mark.parametrize("method", ["gradient", "relp"])
@pytest.mark.parametrize("prompt", ["corrupted", "clean"])
def test_frozen_slopes_pass_later_sites_through_their_features(run, method, prompt):
    with composites[method].applied(run.model):
        by_pair = {pair: slopes(run, pair, prompt) for pair in run.kept}
    expected = [
        (steps.vector * by_pair[pair][steps.site][0, steps.pos]).sum(-1).numpy()
        for pair in run.kept
        for steps in run.steps(pair)
    ]
    found = attribute(run, method, base=prompt).score
    assert_close(found, np.concatenate(expected))
    other = attribute(replace(run, error_term="pass-through"), method, base=prompt).score
    assert np.abs(found - other).max() > 0.1 * np.abs(found).max()


def test_integrated_gradients_hold_the_corrupted_runs_errors(run):
    points, expected = 3, []
    for pair in run.kept:
        errors = errors_of(run, pair, "corrupted")
        for steps in run.steps(pair):
            seen, total = run.activations[pair], 0
            whole = (seen.clean[steps.site] - seen.corrupted[steps.site])[None]
            for t in (np.arange(points) + 0.5) / points:
                leaves = []

                def change(site, read, x, here=steps.site, errors=errors, step=t * whole):
                    if site == here:
                        leaves.append(step.clone().requires_grad_())  # noqa: B023
                        return x + leaves[0]  # noqa: B023
                    if SITES.index(site) < SITES.index(here):
                        return x
                    return run.dictionaries[site].sae(read) + errors[site]

                with hooked(run, change):
                    value = metric(run, pair, "corrupted").sum()
                total += torch.autograd.grad(value, leaves)[0] / points
            expected.append((steps.vector * total[0, steps.pos]).sum(-1).numpy())
    found = attribute(run, f"integrated-gradients:{points}").score
    assert_close(found, np.concatenate(expected))


def test_sets_of_units_hold_them_too(run):
    """A curve's last point moves all of a site's units: x itself, with later errors held."""
    pair = run.kept[0]
    scores = {"any": np.arange(float(len(run.units_of(pair))))}
    curves = pair_curves(run, pair, scores, engines["reference"]())
    errors, seen = errors_of(run, pair, "corrupted"), run.activations[pair]

    def change(site, read, _x):
        if site == EARLY:
            return seen.clean[EARLY][None]
        return run.dictionaries[site].sae(read) + errors[site]

    with torch.no_grad(), hooked(run, change):
        expected = metric(run, pair, "corrupted").item()
    here = curves[(curves.site == str(EARLY)) & (curves.direction == "sufficiency")]
    np.testing.assert_allclose(here.metric_all, expected, rtol=0, atol=1e-10)


def test_sums_are_asked_where_nothing_is_held_back(run):
    assert completeness(run, attribute(run, "gradient")).keys() == {str(LATE)}


def test_with_one_sae_there_is_nothing_to_hold(paired_run):
    one, plain = replace(paired_run, error_term="frozen"), paired_run
    for estimate in ("gradient", "relp", "integrated-gradients:2", "secant"):
        np.testing.assert_array_equal(
            attribute(one, estimate).score, attribute(plain, estimate).score
        )
    for engine in engines:
        np.testing.assert_array_equal(
            patch(one, "denoise", engine=engine).score, patch(plain, "denoise", engine=engine).score
        )


def test_what_cannot_hold_them_is_refused(run):
    with pytest.raises(InputError, match="--engine reference"):
        patch(run, "denoise")
    with pytest.raises(InputError, match=r"no secant: .*\(--methods gradient\)"):
        attribute(run, "secant")
    with pytest.raises(InputError, match="everything is error"):
        replace(run, dictionaries=whole_nodes(run.model))
    with pytest.raises(InputError, match="Did you mean 'frozen'"):
        replace(run, error_term="froze")


KINDS = ("standard", "topk", "jumprelu", "gated", "matching_pursuit")
SCALED = ("constant_norm_rescale", "layer_norm")


@pytest.mark.parametrize("architecture", KINDS)
@pytest.mark.parametrize("scaling", ["none", *SCALED])
def test_slopes_of_a_reconstruction_are_its_derivative(sae_folder, architecture, scaling):
    """Against finite differences, for what SAELens does to x before it encodes as well."""
    more = {"max_iterations": 5} if architecture == "matching_pursuit" else {}
    folder = sae_folder(
        "resid_pre.1", architecture, d_sae=24, d_in=8, normalize_activations=scaling, **more
    )
    (sae,) = load_saes(str(folder), dtype="float64").values()
    x = torch.randn(1, 2, 8, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    assert sae.encode(x).features.any()
    assert torch.autograd.gradcheck(lambda x: sae.decode(sae.encode(x)), x.requires_grad_())
