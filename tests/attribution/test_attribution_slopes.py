"""Methods with the slopes of a composite, against other sources for the same slopes."""

import numpy as np
import pytest
import torch

from relp_sae.attribution import attribute, methods
from relp_sae.models import products
from relp_sae.records import ERROR_UNIT, Site
from relp_sae.records.site import KINDS

RULES = {
    "gradient": set(),
    "relp": {"norm", "activation", "gate"},
    "relp-ah": {"norm", "activation", "gate", "attention"},
}
"""Method -> the roles at which the textbook's model follows the LRP rule."""

TOLERANCE = {"gpt2": 1e-9}
FLOAT32_INSIDE = 1e-4


def prompt_of(pair, base):
    return pair.clean_ids if base == "clean" else pair.corrupted_ids


def test_every_composite_method_is_covered_here():
    one_point = {name for name in methods if "both" not in methods[name].bases}
    assert one_point == RULES.keys()


@pytest.mark.parametrize("base", ["corrupted", "clean"])
@pytest.mark.parametrize("name", RULES)
def test_scores_are_the_textbooks(load_tiny, make_run, textbook, family, name, base):
    """Delta times decoder row times the slope of the model as written out from the papers."""
    run = make_run(load_tiny(family, "float64"), *(f"{kind}.1" for kind in KINDS))
    scores = attribute(run, name, base=base)
    expected = np.zeros(len(scores.units))
    for index, pair in enumerate(run.pairs):
        ids = torch.tensor(prompt_of(pair, base))
        shape = len(ids), run.model.d_model
        added = {str(site): torch.zeros(shape).double().requires_grad_() for site in run.sites}
        logits, _ = textbook.forward(run.model.hf, ids, RULES[name], added)
        metric = logits[-1, pair.answer] - logits[-1, pair.foil]
        slopes = torch.autograd.grad(metric, list(added.values()))
        for (site, slope), steps in zip(
            zip(added, slopes, strict=True), run.steps(index), strict=True
        ):
            assert str(steps.site) == site
            mine = (scores.units.pair == index) & (scores.units.site == site)
            expected[mine] = (steps.vector * slope[steps.pos]).sum(-1).numpy()
    tolerance = TOLERANCE.get(family, FLOAT32_INSIDE)
    np.testing.assert_allclose(
        scores.score, expected, rtol=0, atol=tolerance * np.abs(expected).max()
    )


@pytest.mark.parametrize("base", ["corrupted", "clean"])
def test_rules_give_other_scores_than_the_gradient(paired_run, base):
    """On a model with every nonlinearity the three methods are three methods."""
    gradient, relp, relp_ah = (
        attribute(paired_run, name, base=base).score for name in ("gradient", "relp", "relp-ah")
    )
    for one, other in ((gradient, relp), (relp, relp_ah), (gradient, relp_ah)):
        assert np.abs(one - other).max() > 0.01 * np.abs(gradient).max()


@pytest.mark.parametrize("base", ["corrupted", "clean"])
@pytest.mark.parametrize("site", [Site(layer, kind) for layer in (0, 2) for kind in KINDS], ids=str)
def test_features_and_error_units_sum_to_the_first_order_effect(
    load_tiny, make_run, plain, family, site, base
):
    """sum over units = <g, x_clean - x_corrupted>, whatever the dictionary explains of x."""
    run = make_run(load_tiny(family, "float64"), str(site))
    scores = attribute(run, "gradient", base=base)
    errors = scores.units.feature == ERROR_UNIT
    assert scores.score[errors].any()
    assert scores.score[~errors].any()
    for index, pair in enumerate(run.pairs):
        corrupted, clean = plain.ends(run, index, site)
        slope = plain.slope(run, index, torch.tensor([prompt_of(pair, base)]), site)[0]
        expected = (slope * (clean - corrupted)).sum().item()
        mine = scores.score[scores.units.pair == index]
        tolerance = TOLERANCE.get(family, FLOAT32_INSIDE) * np.abs(mine).sum()
        assert mine.sum() == pytest.approx(expected, rel=0, abs=tolerance)


def test_the_error_units_score_is_its_own_step_times_the_slope(make_run, gpt2_model, plain):
    """e_clean - e_corrupted with e = x - decode(encode(x)), from the dictionary itself."""
    run = make_run(gpt2_model, "resid_mid.1")
    ((site, dictionary),) = run.dictionaries.items()
    scores = attribute(run, "gradient")
    for index, pair in enumerate(run.pairs):
        corrupted, clean = (x[None] for x in plain.ends(run, index, site))
        error_clean = clean - dictionary.decode(dictionary.encode(clean))
        error_corrupted = corrupted - dictionary.decode(dictionary.encode(corrupted))
        slope = plain.slope(run, index, torch.tensor([pair.corrupted_ids]), site)
        expected = ((error_clean - error_corrupted) * slope).sum(-1)[0, pair.first_change :]
        mine = (scores.units.pair == index) & (scores.units.feature == ERROR_UNIT)
        np.testing.assert_allclose(scores.score[mine], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["gradient", "relp", "secant", "integrated-gradients:3"])
def test_laid_out_products_give_the_scores_of_the_models_own(
    load_tiny, make_run, family, monkeypatch, name
):
    """In float32 on a CPU the layers of a pass multiply through oneDNN, forward and backward."""
    multiplied, counted = products._multiplied, []
    monkeypatch.setattr(
        products, "_multiplied", lambda *given: counted.append(1) or multiplied(*given)
    )
    run = make_run(load_tiny(family, "float32"), "resid_pre.1")
    faster = attribute(run, name).score
    assert counted
    monkeypatch.setattr(products, "_has_onednn", lambda _model: False)
    counted.clear()
    own = attribute(run, name).score
    assert not counted
    assert np.abs(faster - own).max() <= 1e-4 * np.abs(own).max()
