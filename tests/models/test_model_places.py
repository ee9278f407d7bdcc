"""Each role is found as often as the architecture has it, and a wrong declaration is refused."""

import dataclasses

import pytest
import torch
from torch import nn

from relp_sae.errors import InputError, RunError
from relp_sae.models import load_model
from relp_sae.models.family import Gate, Norm, Role, families
from relp_sae.models.verification import verify

L = 3


def found_by_class(hf, role):
    """How often a role occurs, by the classes of the modules: the declaration plays no part."""
    modules = list(hf.modules())
    names = [type(module).__name__ for module in modules]
    if role is Role.NORM:
        return sum("Norm" in name for name in names)
    if role is Role.ATTENTION:
        return sum(name.endswith("Attention") for name in names)
    if role is Role.GATE:
        return sum(hasattr(module, "up_proj") for module in modules)
    functions = ("transformers.activations", nn.SiLU.__module__)
    return sum(type(module).__module__ in functions for module in modules)


@pytest.mark.parametrize("role", Role)
def test_every_place_of_a_role_is_found(model, role):
    places = model.places(role)
    assert len(places) == found_by_class(model.hf, role)
    assert len({place.module for place in places}) == len(places)
    assert all(model.module(place.name) is place.module for place in places)


@pytest.mark.parametrize(
    ("family_name", "counts"),
    [
        ("gpt2", {"norm": 2 * L + 1, "activation": L, "gate": 0, "attention": L}),
        ("llama", {"norm": 2 * L + 1, "activation": L, "gate": L, "attention": L}),
    ],
)
def test_the_counts_of_known_architectures(load_tiny, family_name, counts):
    model = load_tiny(family_name)
    assert {role: len(model.places(role)) for role in Role} == counts


def test_places_are_in_the_order_of_the_forward_pass(model):
    for role in Role:
        ran: list[str] = []
        places = model.places(role)
        handles = [
            place.module.register_forward_hook(lambda *_, n=place.name, ran=ran: ran.append(n))
            for place in places
        ]
        model.last_logits(torch.tensor([[0, 5, 9]]))
        for handle in handles:
            handle.remove()
        assert ran == [place.name for place in places]


def test_the_unembedding_is_the_one_that_makes_logits(model):
    last = torch.randn(2, model.d_model, generator=torch.Generator().manual_seed(0))
    normed = model.module(model.family.final_norm)(last)
    torch.testing.assert_close(model.unembed(last), normed @ model.unembedding().T)
    assert not model.unembedding().requires_grad


def test_the_hash_of_the_weights_is_stable_and_notices_a_change(load_tiny, save_tiny, family):
    folder = str(save_tiny(family))
    one, same = load_model(folder), load_model(folder)
    assert one.sha256() == same.sha256() == load_tiny(family).sha256()
    with torch.no_grad():
        next(same.blocks[1].parameters()).view(-1)[3] += 1e-3
    assert one.sha256() != same.sha256()


DECLARATIONS = {
    "no such part": {"mlp": "mpl"},
    "no such norm": {"norms": ("ln_3",)},
    "no such final norm": {"final_norm": "model.nrom"},
    "blocks are elsewhere": {"blocks": "lm_head"},
    "no such gate": {"gate": Gate(left="mlp.act", right="mlp.down", into="mlp.out")},
}


@pytest.mark.parametrize("changes", DECLARATIONS.values(), ids=DECLARATIONS)
def test_a_declared_part_that_is_missing(model, changes):
    wrong = dataclasses.replace(model, family=dataclasses.replace(model.family, **changes))
    with pytest.raises((InputError, RunError), match=f"family|{model.config.model_type}"):
        verify(wrong)


def misdeclared(model, **changes):
    return dataclasses.replace(model, family=dataclasses.replace(model.family, **changes))


def refused(model, match, **changes):
    hooks = sum(len(module._forward_hooks) for module in model.hf.modules())
    with pytest.raises(RunError, match=match):
        verify(misdeclared(model, **changes))
    assert sum(len(module._forward_hooks) for module in model.hf.modules()) == hooks
    verify(model)


def test_a_part_that_does_not_run(gpt2_model):
    refused(gpt2_model, "attn_dropout ran 0 times", norms=("ln_1", "attn.attn_dropout"))


def test_a_norm_that_is_left_out_of_the_stream(gpt2_model):
    """A part of the right kind that runs twice a block is no single place."""
    shared = gpt2_model.blocks[1].ln_1
    hooked = shared.register_forward_pre_hook(lambda *_: None)
    try:
        twice = gpt2_model.blocks[1].ln_2.register_forward_pre_hook(lambda _m, args: shared(*args))
        try:
            with pytest.raises(RunError, match=r"transformer\.h\.1\.ln_1 ran 2 times"):
                verify(gpt2_model)
        finally:
            twice.remove()
    finally:
        hooked.remove()


def test_a_norm_that_normalises_otherwise(model):
    norm = model.family.norm
    refused(model, "norm", norm=Norm(centred=not norm.centred, eps=norm.eps))


def test_an_mlp_whose_output_is_not_what_the_stream_gets(model):
    refused(model, "resid_post", mlp=model.family.activation)


def test_a_projection_that_does_not_take_z(llama_model):
    refused(
        llama_model, r"self_attn\.q_proj does not make attn_out of z", projection="self_attn.q_proj"
    )


def test_a_norm_that_the_mlp_does_not_read(model):
    first = model.family.norms[0]
    refused(model, f"the MLP of block 0 does not read {first}", mlp_norm=first)


def test_a_gate_of_other_branches(llama_model):
    gate = Gate(left="mlp.gate_proj", right="mlp.up_proj", into="mlp.down_proj")
    refused(llama_model, "gate", gate=gate)


@pytest.mark.parametrize("name", ["relu", "no such function"])
def test_an_activation_of_another_name(model, monkeypatch, name):
    monkeypatch.setattr(model.config, "another_name", name, raising=False)
    refused(model, "activation", activation_name="another_name")


def test_a_declaration_that_does_not_fit_is_found_at_load(save_tiny, family, monkeypatch):
    folder = save_tiny(family)
    wrong = dataclasses.replace(families[family], activation="mlp.nothing")
    monkeypatch.setitem(families._entries, family, wrong)
    with pytest.raises(InputError, match=r"no part '.*mlp\.nothing', which its family"):
        load_model(str(folder))


def test_loading_draws_no_random_numbers_of_the_caller(save_tiny, family):
    folder = save_tiny(family)
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    load_model(str(folder))
    assert torch.equal(torch.rand(2), expected)


def test_a_soft_cap_behind_the_unembedding_is_noticed(model, monkeypatch):
    """Scores and effects are of the unembedding's logits, so nothing may come after it."""
    plain = model.hf.forward

    def capped(*args, **kwargs):
        found = plain(*args, **kwargs)
        found.logits = 2 * torch.tanh(found.logits / 2)
        return found

    verify(model)
    monkeypatch.setattr(model.hf, "forward", capped)
    with pytest.raises(RunError, match="its logits are not those of the unembedding"):
        verify(model)
