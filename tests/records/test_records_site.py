"""Sites are read in every notation, and written in one."""

import pytest

from relp_sae.errors import InputError
from relp_sae.records import Site
from relp_sae.records.site import KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_own_and_hook_names_come_back(kind: str) -> None:
    site = Site(12, kind)
    assert Site.parse(str(site)) == site
    assert Site.parse(site.hook_name) == site


HOOKS = {
    "blocks.7.attn.hook_z": "z",
    "blocks.7.ln2.hook_normalized": "mlp_normalized",
    "blocks.7.mlp.hook_in": "mlp_in",
    "blocks.7.hook_mlp_out": "mlp_out",
}


@pytest.mark.parametrize(("name", "kind"), HOOKS.items())
def test_transformer_lens_names(name: str, kind: str) -> None:
    assert Site.parse(name) == Site(7, kind)
    assert Site(7, kind).hook_name == name


BLOCKS = ["model.layers", "transformer.h", "gpt_neox.layers", "model.language_model.layers"]


@pytest.mark.parametrize("blocks", BLOCKS)
def test_a_hugging_face_block_is_its_output(blocks: str) -> None:
    assert Site.parse(f"{blocks}.7") == Site.parse(f"{blocks}.7.output") == Site(7, "resid_post")
    assert Site.parse(f"{blocks}.7.input") == Site(7, "resid_pre")
    assert Site.parse(f"{blocks}.7.mlp.input") == Site(7, "mlp_in")


PARTS = {
    "model.layers.7.self_attn.o_proj.input": "z",
    "transformer.h.7.attn.c_proj.input": "z",
    "transformer.h.7.attn.attention.out_proj.input": "z",
    "gpt_neox.layers.7.attention.dense.input": "z",
    "model.layers.7.pre_feedforward_layernorm.output": "mlp_in",
    "model.layers.7.post_feedforward_layernorm.output": "mlp_out",
}


@pytest.mark.parametrize(("name", "kind"), PARTS.items())
def test_hugging_face_names_of_parts(name: str, kind: str) -> None:
    assert Site.parse(name) == Site(7, kind)


def test_a_name_that_means_two_sites_is_refused_with_both() -> None:
    with pytest.raises(InputError) as raised:
        Site.parse("blocks.7.hook_mlp_in")
    assert "can mean two sites" in str(raised.value)
    assert "Write blocks.7.hook_resid_mid for the first and blocks.7.mlp.hook_in" in str(
        raised.value
    )


@pytest.mark.parametrize(
    "name",
    [
        "",
        "resid_pre",
        "resid_pre.",
        "resid_pre.-1",
        "resid_pre.1x",
        " resid_pre.1",
        "resid.1",
        "hook_resid_pre.1",
        "blocks.1.resid_pre",
        "blocks.1.hook_z",
        "blocks.1.hook_in",
        "blocks.1.ln1.hook_normalized",
        "model.layers.7.mlp",
        "model.layers.7.mlp.output",
        "model.layers.7.self_attn.output",
        "model.layers.7x",
        "gpt_neox.layers",
    ],
)
def test_other_names_are_refused_with_the_form_to_use(name: str) -> None:
    with pytest.raises(InputError, match=r"Expected KIND\.LAYER such as resid_pre\.8"):
        Site.parse(name)


def test_sites_sort_by_layer_first() -> None:
    names = ["resid_pre.10", "resid_post.2", "mlp_out.2"]
    assert [str(site) for site in sorted(map(Site.parse, names))] == [
        "mlp_out.2",
        "resid_post.2",
        "resid_pre.10",
    ]
