"""``relp-sae train-sae``: from a text to an SAE that ``relp-sae run`` takes."""

import json
import random

import pytest
from sae_lens import SAE


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """Sixty documents of forty words that the tiny tokenizer knows."""
    draw = random.Random(0)
    words = ["Mary", "John", "Alice", "the", "store", "gave", "and", "to", "went", "a"]
    lines = [json.dumps({"text": " ".join(draw.choices(words, k=40))}) for _ in range(60)]
    path = tmp_path_factory.mktemp("text") / "text.jsonl"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def asked(inputs, text, tmp_path):
    """The arguments of a short training run whose held-out text is the start of its own."""
    return [
        *("train-sae", "--model", inputs.model, "--site", "resid_pre.1", "--data", text),
        *("--held-out", text, "--held-out-tokens", 320, "--context", 16, "--batch-size", 16),
        *("--buffer", 256, "--tokens", 1024, "--out", tmp_path / "sae"),
    ]


def test_an_sae_is_made_and_a_run_takes_it(relp_sae, inputs, asked, tmp_path):
    code, out, err = relp_sae(*asked, "--width", 48, "--k", 6)
    assert code == 0, err
    assert "1,024 tokens: loss" in err
    assert (tmp_path / "sae/README.md").read_text() in out
    assert f"relp-sae run --sae {tmp_path / 'sae'}" in out
    assert SAE.load_from_disk(tmp_path / "sae").cfg.d_sae == 48
    given = ("--model", inputs.model, "--sae", tmp_path / "sae", "--task", inputs.task)
    code, out, err = relp_sae(
        *("run", *given, "--n", 3, "--methods", "gradient", "--truths", "denoise"),
        *("--bootstrap", 100, "--out", tmp_path / "run"),
    )
    assert code == 0, err
    assert "gradient@corrupted" in out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--arch", "topc"], "Unknown SAE architecture 'topc'. Did you mean 'topk'?"),
        (["--site", "resid_pre.77"], "has no site resid_pre.77"),
        (["--l1", 2], "--l1 does not go with --arch topk"),
        (["--tokens", 999_999], "The text ends after"),
        (["--held-out-tokens", 99_999], "fewer than the 99,999 tokens of --held-out-tokens"),
        (["--data", "nowhere.txt"], "No text at nowhere.txt"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    relp_sae, asked, tmp_path, arguments, sentence
):
    code, _, err = relp_sae(*asked, *arguments)
    assert code == 2
    assert sentence in err.replace("\n", " ")
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []
