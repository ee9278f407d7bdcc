"""What every composite must do on every family: values as before, and nothing left behind."""

from contextlib import contextmanager, nullcontext

import pytest
import torch

from relp_sae.errors import InputError, RunError
from relp_sae.models import at_sites, load_model, started_at
from relp_sae.models.family import Role
from relp_sae.records import Site
from relp_sae.rules import Composite, composites
from relp_sae.rules.inspection import inspect_composite

IDS = torch.tensor([[0, 17, 45, 99, 17, 8], [0, 3, 150, 12, 80, 31]])

pytestmark = pytest.mark.parametrize("name", composites)


def state_of(model):
    """All that a composite may touch: hooks, attention functions, training state, weights."""
    hooks = [
        (dict(m._forward_hooks), dict(m._forward_pre_hooks), dict(m._backward_hooks))
        for m in model.hf.modules()
    ]
    attention = [m.config._attn_implementation for m in model.hf.modules() if hasattr(m, "config")]
    return hooks, attention, model.hf.training, model.sha256()


def slope_at_entry(model, ids=IDS):
    """Last logits, and the slope of some of them at the input of block 0."""
    leaf = torch.zeros(*ids.shape, model.d_model, dtype=model.dtype, requires_grad=True)
    with at_sites(model, {Site(0, "resid_pre"): lambda _x: leaf}):
        logits = model.last_logits(ids)
    (slope,) = torch.autograd.grad(logits[:, 5].sum() - logits[:, 9].sum(), leaf)
    return logits.detach(), slope


def test_values_are_kept_bit_for_bit(model, name):
    plain, _ = slope_at_entry(model)
    everywhere = model.hf(input_ids=IDS).logits
    with composites[name].applied(model):
        assert torch.equal(slope_at_entry(model)[0], plain)
        assert torch.equal(model.hf(input_ids=IDS).logits, everywhere)
        with torch.no_grad():
            assert torch.equal(model.last_logits(IDS), plain)


def test_slopes_change_inside_and_are_bit_equal_after(model, name):
    _, before = slope_at_entry(model)
    with composites[name].applied(model):
        _, inside = slope_at_entry(model)
    assert torch.equal(slope_at_entry(model)[1], before)
    if composites[name].table:
        assert (inside - before).abs().max() > 0.01 * before.abs().max()
    else:
        assert torch.equal(inside, before)


def test_nothing_is_left_behind(model, name):
    before = state_of(model)
    with composites[name].applied(model):
        slope_at_entry(model)
        if composites[name].table:
            assert state_of(model) != before
    assert state_of(model) == before


def test_nothing_is_left_behind_by_an_exception(model, name):
    before, (logits, slope) = state_of(model), slope_at_entry(model)

    def broken(_x):
        raise ArithmeticError

    with (
        pytest.raises(ArithmeticError),
        composites[name].applied(model),
        at_sites(model, {Site(1, "resid_mid"): broken}),
    ):
        model.last_logits(IDS)
    assert state_of(model) == before
    again = slope_at_entry(model)
    assert torch.equal(again[0], logits)
    assert torch.equal(again[1], slope)
    with composites[name].applied(model):  # and it can be used again
        assert torch.equal(slope_at_entry(model)[0], logits)


def test_another_model_of_the_same_classes_is_not_touched(model, save_tiny, family, name):
    bystander = load_model(str(save_tiny(family)))
    before, (_, slope) = state_of(bystander), slope_at_entry(bystander)
    with composites[name].applied(model):
        slope_at_entry(model)
        assert state_of(bystander) == before
        assert torch.equal(slope_at_entry(bystander)[1], slope)


def test_two_models_at_once(model, model64, name):
    expected = []
    for one in (model, model64):
        with composites[name].applied(one):
            expected.append(slope_at_entry(one)[1])
    with composites[name].applied(model), composites[name].applied(model64):
        found = [slope_at_entry(one)[1] for one in (model, model64)]
    assert all(torch.equal(*both) for both in zip(found, expected, strict=True))


def test_the_audit_counts_every_place(model, name):
    table = composites[name].table
    with composites[name].applied(model) as audit:
        assert {role: fired for role, (fired, _) in audit.by_role().items()} == dict.fromkeys(
            table, 0
        )
        slope_at_entry(model)
        slope_at_entry(model)
    expected = {role: len(model.places(Role(role))) for role in table}
    assert audit.by_role() == {role: (count, count) for role, count in expected.items()}
    assert set(audit.counts.values()) <= {2}
    assert audit.counts.total() == 2 * sum(expected.values())


def test_rules_that_never_fire_are_an_error(model, name):
    if not composites[name].table:
        with composites[name].applied(model):
            pass
        return
    before = state_of(model)
    with pytest.raises(RunError, match="rule fired 0 times"), composites[name].applied(model):
        pass
    assert state_of(model) == before


def test_a_rule_that_misses_one_place_is_an_error(model, name):
    before = state_of(model)
    for role in composites[name].table:
        for missed in model.places(Role(role))[1:2]:
            sentence = f"The {role} rule fired 0 times at {missed.name} and 1 times elsewhere"
            with (
                pytest.raises(RunError, match=sentence),
                composites[name].applied(model),
                missing(missed),
            ):
                slope_at_entry(model)
            assert state_of(model) == before


@contextmanager
def missing(place):
    """Inside, the rule does not reach one place, as if the part ran in another way there."""
    module = place.module
    if place.role is Role.ATTENTION:  # it does not ask the model's own configuration
        config = module.config
        module.config = type(config)(**config.to_dict())
        module.config._attn_implementation = "eager"
        yield
        module.config = config
        return
    hooks = module._forward_pre_hooks if place.role is Role.GATE else module._forward_hooks
    kept = dict(hooks)
    del hooks[next(iter(hooks))]  # only the rule's own: a gate listens to its activation too
    yield
    hooks.clear()
    hooks.update(kept)


def slope_from_block_1(model):
    """One pass forward and backward from block 1 on."""
    x = torch.ones(*IDS.shape, model.d_model, dtype=model.dtype, requires_grad=True)
    with started_at(model, 1, x):
        logits = model.last_logits(IDS)
    return torch.autograd.grad(logits.sum(), x)


def test_only_the_blocks_that_are_run_are_audited(model, name):
    before = state_of(model)
    with composites[name].applied(model, first_block=1) as audit:
        slope_from_block_1(model)
    for role, (fired, expected) in audit.by_role().items():
        left_out = [p for p in model.places(role) if f"{model.family.blocks}.0." in p.name]
        assert bool(left_out) == bool(model.places(role))
        assert fired == expected == len(model.places(role)) - len(left_out)
    assert set(audit.counts.values()) <= {1}
    assert state_of(model) == before


def test_a_rule_that_misses_one_of_the_remaining_places_is_an_error(model, name):
    before = state_of(model)
    for role in composites[name].table:
        for missed in model.places(Role(role))[-2:]:
            sentence = f"The {role} rule fired 0 times at {missed.name} and 1 times elsewhere"
            with (
                pytest.raises(RunError, match=sentence),
                composites[name].applied(model, first_block=1),
                missing(missed),
            ):
                slope_from_block_1(model)
            assert state_of(model) == before


def test_a_rule_that_fires_before_the_first_block_is_an_error(model, name):
    before = state_of(model)
    for role, rule in composites[name].table.items():
        for first in model.places(Role(role))[:1]:
            with (
                pytest.raises(RunError, match=f"at {first.name}; expected none before block 1"),
                Composite({role: rule}).applied(model, first_block=1),
            ):
                slope_at_entry(model)
        assert state_of(model) == before


def test_paths_of_a_batch_do_not_mix(model64, name):
    """Two pairs in one batch have the slopes that each has alone."""
    other = torch.tensor([[0, 61, 2, 88, 14, 9], [0, 61, 30, 88, 14, 101]])
    alone = []
    for ids in (IDS, other):
        with composites[name].applied(model64):
            alone.append(slope_at_entry(model64, ids)[1])
    with composites[name].applied(model64):
        _, together = slope_at_entry(model64, torch.cat([IDS, other]))
    rounding = 1e-12 if model64.config.model_type == "gpt2" else 1e-5
    expected = torch.cat(alone)
    atol = rounding * expected.abs().max().item()
    torch.testing.assert_close(together, expected, rtol=0, atol=atol)
    with composites[name].applied(model64, rows=4):  # one path of four rows is something else
        _, one_path = slope_at_entry(model64, torch.cat([IDS, other]))
    same = torch.allclose(one_path, expected, rtol=0, atol=1e-3 * expected.abs().max().item())
    assert same != composites[name].two_point


def test_a_batch_that_is_not_made_of_whole_paths_is_refused(model, name):
    before = state_of(model)
    three = torch.cat([IDS, IDS[:1]])
    with (
        pytest.raises(InputError, match="got a batch of 3 for paths of 2")
        if composites[name].two_point
        else nullcontext(),
        composites[name].applied(model),
    ):
        slope_at_entry(model, three)
    assert state_of(model) == before


def test_a_place_that_runs_more_often_than_the_others_is_an_error(model, name):
    """A part that is called twice a pass would count its slope twice."""
    if "norm" in composites[name].table:
        once, twice = model.places(Role.NORM)[:2]
        with (
            pytest.raises(RunError, match=rf"fired 1 times at {once.name} and 2 times elsewhere"),
            composites[name].applied(model),
            also(once.module, twice.module),
        ):
            slope_at_entry(model)


def void(_output):
    """A hook that returns nothing changes nothing."""


@contextmanager
def also(module, another):
    """Inside, whenever one module has run, another one runs as well."""
    handle = module.register_forward_hook(lambda _m, args, _out: void(another(*args)))
    yield
    handle.remove()


def test_a_composite_inside_another_one_gives_way_afterwards(model, name):
    composite = composites[name]
    _, plain = slope_at_entry(model)
    for outer in composites.values():
        before = state_of(model)
        with outer.applied(model):
            _, expected = slope_at_entry(model)
            with composite.applied(model):
                slope_at_entry(model)
            assert torch.equal(slope_at_entry(model)[1], expected)
        assert state_of(model) == before
    assert torch.equal(slope_at_entry(model)[1], plain)


def test_attention_stays_causal(model64, name):
    """The logits at a position have no slope at later positions, but some at all earlier ones."""
    leaf = torch.zeros(2, 6, 32, dtype=torch.float64, requires_grad=True)
    with (
        composites[name].applied(model64),
        at_sites(model64, {Site(0, "resid_pre"): lambda _x: leaf}),
    ):
        logits = model64.hf(input_ids=IDS, use_cache=False).logits[1]
        for at in range(6):
            (slope,) = torch.autograd.grad(logits[at, :20].sum(), leaf, retain_graph=True)
            assert not slope[1, at + 1 :].any()
            assert (slope[1, : at + 1].abs().sum(-1) > 1e-4).all()


def test_its_inspection(model, name):
    found = inspect_composite(model, name, IDS)
    assert found.same_logits
    found.require_same_logits()
    corrupted, clean = model.last_logits(IDS)
    top = clean.argmax()
    change = composites[name].two_point  # then both figures are changes between the prompts
    assert found.logit == (clean - corrupted if change else clean)[top].item()
    assert found.audit == {
        role: (rule, len(model.places(Role(role))), len(model.places(Role(role))))
        for role, rule in composites[name].table.items()
    }
    leaf = torch.zeros(2, 6, 32, requires_grad=True)
    entry = []
    with (
        composites[name].applied(model),
        at_sites(model, {Site(0, "resid_pre"): lambda x: entry.append(x.detach()) or leaf}),
    ):
        (slope,) = torch.autograd.grad(model.last_logits(IDS)[1, top], leaf)
    x = entry[0][1] - entry[0][0] if change else entry[0][1]
    assert found.relevance == pytest.approx((slope[1] * x).sum().item(), rel=1e-4)


def test_a_single_run_has_no_secant(model, name):
    before = state_of(model)
    with (
        composites[name].applied(model)
        if not composites[name].two_point
        else pytest.raises(InputError, match="between two runs, and got a single one")
    ):
        inspect_composite(model, name, IDS[:1])
    assert state_of(model) == before


def test_an_inspection_notices_another_value(model, name, monkeypatch):
    untouched = model.last_logits(IDS)

    def otherwise(_model, _ids):
        return untouched + 1 if not torch.is_grad_enabled() else 1.5 * last_logits(model, IDS)

    last_logits = type(model).last_logits
    monkeypatch.setattr(type(model), "last_logits", otherwise)
    found = inspect_composite(model, name, IDS)
    assert not found.same_logits
    with pytest.raises(RunError, match="the logits differ from those of the untouched model"):
        found.require_same_logits()
