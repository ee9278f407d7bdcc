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


@pytest.mark.parametrize("name", ["model.layers.7", "transformer.h.7"])
def test_a_hugging_face_block_is_its_output(name: str) -> None:
    assert Site.parse(name) == Site(7, "resid_post")


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
        "model.layers.7.mlp",
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
