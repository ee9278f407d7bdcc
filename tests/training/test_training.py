"""Training: text in, a SAELens folder with true figures out."""

import json
from dataclasses import replace

import pandas as pd
import pytest
import torch
from sae_lens import SAE

from relp_sae.errors import InputError, RunError
from relp_sae.saes import load_saes
from relp_sae.training import architectures, train_sae
from relp_sae.training.architectures import Shape

INFERENCE = {"batchtopk": "jumprelu", "matryoshka": "jumprelu"}
"""Architectures that SAELens saves as another one."""


def dense(config, arch):
    """A config of ``arch`` for a few thousand steps on tiny data, at about 8 active features."""
    sparsity = {"k": 8} if architectures[arch].sparsity == "k" else {"k": None, "l1": 2.0}
    return replace(config, arch=arch, tokens=32_000, lr=2e-3, **sparsity)


@pytest.fixture(scope="module")
def endless(text, tmp_path_factory):
    """The text twelve times over."""
    folder = tmp_path_factory.mktemp("endless")
    for number in range(12):
        (folder / f"{number:02}.jsonl.gz").symlink_to(text)
    return str(folder)


@pytest.mark.parametrize("arch", list(architectures))
def test_every_architecture_learns_and_saelens_opens_it(
    gpt2_model, config, endless, tmp_path, arch
):
    rows = []
    wanted = replace(dense(config, arch), data=endless)
    quality = train_sae(gpt2_model, wanted, tmp_path / "sae", watch=rows.append)
    assert rows[-1].step == 2000
    assert quality.explained_variance > max(0.55, rows[0].explained_variance + 0.3)
    # What was saved is what was trained.
    assert quality.explained_variance == pytest.approx(rows[-1].explained_variance, abs=0.15)
    if architectures[arch].sparsity == "k":
        assert quality.l0 == pytest.approx(8, abs=1.5)
    sae = SAE.load_from_disk(tmp_path / "sae")
    assert sae.cfg.metadata.hook_name == "blocks.2.hook_resid_pre"
    assert sae.cfg.architecture() == INFERENCE.get(arch, arch)
    assert sae.cfg.normalize_activations == "none"


def test_the_folder_says_how_it_was_made(config, trained):
    out, quality = trained
    card = (out / "README.md").read_text()
    assert config.command in card
    assert f"{quality.explained_variance:.3f}" in card
    assert json.loads((out / "quality.json").read_text()) == quality.as_dict()
    curves = pd.read_csv(out / "training.csv")
    assert curves["tokens"].iloc[-1] == 1600
    assert curves["loss"].iloc[-1] < curves["loss"].iloc[0]
    assert (out / "training.png").read_bytes()[:4] == b"\x89PNG"
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_the_same_seed_trains_the_same_sae(gpt2_model, config, trained, tmp_path):
    """Neither torch's global generator nor how often a checkpoint is made has a say."""
    torch.manual_seed(123)
    train_sae(gpt2_model, config, tmp_path / "again", checkpoint_every=7)
    train_sae(gpt2_model, replace(config, seed=1), tmp_path / "other")
    one, again, other = (
        next(iter(load_saes(str(path)).values())).sha256()
        for path in (trained[0], tmp_path / "again", tmp_path / "other")
    )
    assert one == again != other


def test_width_is_a_number_or_a_multiple(gpt2_model, config, tmp_path):
    short = replace(config, tokens=32, held_out_tokens=32)
    for width, features in (("40", 40), ("2x", 64)):
        train_sae(gpt2_model, replace(short, width=width), tmp_path / width)
        assert SAE.load_from_disk(tmp_path / width).cfg.d_sae == features


def test_an_sae_of_attention_is_as_wide_as_its_heads(load_tiny, config, tmp_path):
    short = replace(config, site="z.1", tokens=32, held_out_tokens=32)
    quality = train_sae(load_tiny("gemma2"), short, tmp_path / "z")
    (dictionary,) = load_saes(str(tmp_path / "z")).values()
    assert str(dictionary.site) == "z.1"
    assert (dictionary.d_in, dictionary.d_sae) == (48, 4 * 48)
    assert quality.tokens > 0


def test_bfloat16_products_train_nearly_the_same(gpt2_model, config, trained, tmp_path):
    quality = train_sae(gpt2_model, replace(config, autocast="bfloat16"), tmp_path / "sae")
    assert quality.explained_variance == pytest.approx(trained[1].explained_variance, abs=0.03)
    assert quality != trained[1]


def test_matryoshka_levels_are_nested():
    sae = architectures["matryoshka"].build(Shape(8, 64, 0), 4.0)
    assert sae.cfg.matryoshka_widths == [8, 16, 32, 64]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"site": "resid_pre.9"}, "has no site resid_pre.9"),
        ({"arch": "top"}, "Unknown SAE architecture 'top'. Did you mean 'topk'?"),
        ({"k": 999}, "--k 999 is more than the SAE's 128 features"),
        ({"l1": 1.0}, "--l1 does not go with --arch topk, whose sparsity is decided by --k"),
        ({"arch": "gated"}, "--k does not go with --arch gated"),
        ({"width": "wide"}, "Cannot read --width wide. Give the number of features, such as 256"),
        ({"width": "0"}, "Cannot read --width 0"),
        ({"width": "99999999x"}, "Lower --width"),
        ({"context": 999}, "reads at most 64 tokens"),
        ({"buffer": 17}, "at least 8 batches, 128"),
        ({"autocast": "float16"}, "expected one of float32, bfloat16"),
        ({"held_out": "nowhere.txt"}, "No text at nowhere.txt"),
        ({"data": "nowhere.txt"}, "No text at nowhere.txt"),
        ({"tokens": 3}, "less than one batch of 16"),
        ({"lr": 0.0}, "--lr is 0.0; expected a positive number"),
        ({"lr": float("nan")}, "--lr is nan"),
    ],
)
def test_bad_input_is_one_sentence(gpt2_model, config, tmp_path, change, sentence):
    with pytest.raises(InputError, match=sentence):
        train_sae(gpt2_model, replace(config, **change), tmp_path / "sae")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_not_touched(gpt2_model, config, trained):
    with pytest.raises(InputError, match="exists already"):
        train_sae(gpt2_model, config, trained[0])


def test_text_that_ends_too_early_says_how_far_it_went(gpt2_model, config, tmp_path):
    with pytest.raises(InputError, match=r"The text ends after 2,\d+ training tokens, fewer"):
        train_sae(gpt2_model, replace(config, tokens=999_999), tmp_path / "sae")


def test_divergence_stops_with_the_checkpoint_before_it(gpt2_model, config, tmp_path):
    wild = replace(config, arch="standard", k=None, l1=1.0, lr=1e38)
    with pytest.raises(RunError, match=r"no finite number at step 2.*after step 1.*is kept"):
        train_sae(gpt2_model, wild, tmp_path / "sae", checkpoint_every=1)
    assert not (tmp_path / "sae").exists()
    assert (tmp_path / "sae.training" / "step-1").is_dir()
