"""The registry read offline is SAELens' own, and what we tell of an SAE is what SAELens makes."""

import inspect
import re
import subprocess
import sys

import pytest
from sae_lens.loading import pretrained_sae_loaders as loaders
from sae_lens.loading.pretrained_saes_directory import (
    get_config_overrides,
    get_pretrained_saes_directory,
)

from relp_sae.catalogue import BUNDLED, PICKLED, PublishedSae, model_key, releases

OFFLINE = ("gemma_2", "gemma_3", "deepseek_r1", "goodfire", "qwen_scope", "gemma_2_transcoder")
"""Formats whose configuration SAELens makes from names alone."""


def test_every_release_and_sae_of_the_registry_is_there():
    own = get_pretrained_saes_directory()
    assert list(releases()) == list(own)
    for name, release in releases().items():
        assert release.model == own[name].model
        assert release.format == (own[name].conversion_func or "sae_lens")
        assert [one.id for one in release.saes] == list(own[name].saes_map)
        assert [one.l0 or 0 for one in release.saes] == list(own[name].expected_l0.values())


@pytest.mark.parametrize("form", OFFLINE)
def test_sites_are_those_that_sae_lens_makes(monkeypatch, form):
    def nothing(repo_id, filename, **_options):
        raise loaders.EntryNotFoundError(f"{repo_id} has no {filename}")

    monkeypatch.setattr(loaders, "hf_hub_download", nothing)
    monkeypatch.setattr(
        loaders, "get_safetensors_tensor_shapes", lambda *_: {"w_enc": [32, 64], "w_dec": [64, 32]}
    )
    own, make = get_pretrained_saes_directory(), loaders.NAMED_PRETRAINED_SAE_CONFIG_GETTERS[form]
    found = 0
    for name, release in releases().items():
        if release.format != form:
            continue
        for one in release.saes[:: max(1, len(release.saes) // 20)]:
            path = own[name].saes_map[one.id]
            made = make(own[name].repo_id, path, "cpu", False, get_config_overrides(name, one.id))
            assert one.hook_name == made["hook_name"], f"{name}/{one.id}"
            assert release.transcoders == (made.get("hook_name_out") is not None)
            found += 1
    assert found


@pytest.mark.parametrize(
    ("release", "sae", "expected"),
    [
        (
            "gpt2-small-res-jb",
            "blocks.8.hook_resid_pre",
            ("blocks.8.hook_resid_pre", "resid_pre.8", "", 60.0),
        ),
        (
            "gpt2-small-res-jb-feature-splitting",
            "blocks.8.hook_resid_pre_768",
            ("blocks.8.hook_resid_pre", "resid_pre.8", "768", 36.0),
        ),
        (
            "gemma-scope-2b-pt-res",
            "layer_20/width_16k/average_l0_71",
            ("blocks.20.hook_resid_post", "resid_post.20", "16k", 71.0),
        ),
        (
            "gemma-scope-2b-pt-res",
            "embedding/width_4k/average_l0_6",
            ("hook_embed", "hook_embed", "4k", None),
        ),
        (
            "sae_bench_gemma-2-2b_topk_width-2pow12_date-1109",
            "blocks.12.hook_resid_post__trainer_0",
            ("blocks.12.hook_resid_post", "resid_post.12", "4096", None),
        ),
        (
            "llama_scope_lxm_8x",
            "l31m_8x",
            ("blocks.31.hook_mlp_out", "mlp_out.31", "", 50.0),
        ),
        (
            "qwen-scope-3-1.7b-base-w32k-l50",
            "layer3",
            ("blocks.3.hook_resid_post", "resid_post.3", "32k", 50.0),
        ),
    ],
)
def test_what_is_told_of_an_sae(release, sae, expected):
    (found,) = (one for one in releases()[release].saes if one.id == sae)
    assert (found.hook_name, found.site, found.width, found.l0) == expected


def test_attention_saes_have_the_hook_that_their_files_name():
    ids = [one.hook_name for one in releases()["gpt2-small-hook-z-kk"].saes]
    assert ids == [f"blocks.{layer}.attn.hook_z" for layer in range(12)]


def test_a_site_that_is_nowhere_is_no_site():
    assert PublishedSae("layer_0", "", "", None).site == ""
    assert {one.site for one in releases()["mntss-gemma-2-2b-2.5m-clt-as-per-layer"].saes} == {""}


def test_pickled_formats_are_those_whose_loaders_unpickle():
    unpickling = {
        name
        for name, load in loaders.NAMED_PRETRAINED_SAE_LOADERS.items()
        if re.search(r"torch\.load\(", inspect.getsource(load))
    }
    assert unpickling == set(PICKLED)


def test_no_id_has_a_comma():
    """Which is why --sae may be split at commas."""
    ids = [f"{name}/{one.id}" for name, release in releases().items() for one in release.saes]
    assert len(ids) > 10_000
    assert not [one for one in [*ids, *BUNDLED] if "," in one]


def test_models_of_the_registry_are_told_apart():
    models = {one.model for one in releases().values()}
    assert len({model_key(model) for model in models}) == len(models)


def test_reading_it_imports_neither_torch_nor_sae_lens():
    script = (
        "import sys; from relp_sae.cli.sae_listing import sae_lines; sae_lines('gpt2', '');"
        "print(*{'torch', 'transformers', 'sae_lens'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []
