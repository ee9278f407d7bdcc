"""``relp-sae features``: from a finished run and a text to cards in the report."""

import json
import shutil

import numpy as np
import pytest

from relp_sae.records import RunFolder


@pytest.fixture
def run(finished, tmp_path):
    """A copy of the finished run, to write into."""
    return shutil.copytree(finished, tmp_path / "run")


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """Thirty documents of fifty words that the tiny tokenizer knows."""
    rng = np.random.default_rng(0)
    words = ["Mary", "John", "Alice", "the", "store", "gave", "and", "to", "went", "a"]
    path = tmp_path_factory.mktemp("text") / "text.jsonl"
    lines = [json.dumps({"text": " ".join(rng.choice(words, size=50))}) for _ in range(30)]
    path.write_text("\n".join(lines))
    return path


def test_cards_are_saved_shown_and_reported(relp_sae, run, text):
    code, out, err = relp_sae(
        *("features", run, "--data", text, "--top", 2, "--contexts", 3, "--tokens", 1000),
        *("--methods", "relp@clean"),
    )
    assert code == 0, err
    folder = RunFolder.open(run)
    found = folder.read_features()
    assert found.ranked_by == ("denoise", "noise", "relp@clean")
    assert found.tokens == 1000
    for card in found.cards:
        assert 1 <= min(one.rank for one in card.scores if one.label in found.ranked_by) <= 2
        assert len(card.promoted) == len(card.suppressed) == 10
        assert len(card.contexts) <= 3
        assert [c.activation for c in card.contexts] == sorted(
            (c.activation for c in card.contexts), reverse=True
        )
    scores = {one.label: one for one in folder.read_scores()}
    first = found.cards[0]
    truth = next(one for one in first.scores if one.label == "denoise")
    mine = scores["denoise"].units.feature == first.feature
    assert truth.strength == pytest.approx(abs(scores["denoise"].score[mine]).sum())
    assert f"resid_pre.1/{first.feature}" in out
    page = (run / "report.html").read_text()
    assert f"<h3>resid_pre.1/{first.feature}</h3>" in page
    assert "<mark>" in page
    assert f"### resid_pre.1/{first.feature}" in (run / "report.md").read_text()


def test_by_default_every_estimate_but_the_baselines_and_every_truth_ranks(relp_sae, run, text):
    (run / "agreement.json").unlink()  # a run that was not compared has cards all the same
    code, out, _ = relp_sae("features", run, "--data", text, "--top", 1)
    assert code == 0
    assert "Report:" not in out
    assert set(RunFolder.open(run).read_features().ranked_by) == {
        *("denoise", "noise", "gradient@corrupted", "gradient@clean", "relp@corrupted"),
        *("relp@clean", "integrated-gradients:3"),
    }


def changed_manifest(run, change):
    folder = RunFolder.open(run)
    folder.write_manifest(change(folder.read_manifest()))


def whole_nodes(manifest):
    config = manifest.config.model_copy(update={"units": "nodes"})
    return manifest.model_copy(update={"config": config})


def other_model(manifest):
    made_by = manifest.provenance.model_copy(update={"model_sha256": "ab"})
    return manifest.model_copy(update={"provenance": made_by})


def other_sae(manifest):
    quality = {k: v.model_copy(update={"sha256": "ab"}) for k, v in manifest.sae_quality.items()}
    return manifest.model_copy(update={"sae_quality": quality})


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (whole_nodes, "is of whole nodes (--units nodes), which have no features"),
        (other_model, "has other weights than when"),
        (other_sae, "The SAE at resid_pre.1 is not the one that"),
    ],
)
def test_another_run_than_its_own_is_refused(relp_sae, run, text, change, sentence):
    changed_manifest(run, change)
    code, _, err = relp_sae("features", run, "--data", text)
    assert code == 2
    assert sentence in err
    assert not (run / "features.json").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--methods", "rlp"], "The run has no estimate 'rlp'. Did you mean 'relp'?"),
        (["--data", "nowhere.jsonl"], "No text at nowhere.jsonl"),
        (["--data", "short.txt"], "The text has 2 tokens, too few to show"),
    ],
)
def test_bad_input_is_a_sentence(relp_sae, run, text, monkeypatch, arguments, sentence):
    monkeypatch.chdir(run)
    (run / "short.txt").write_text("Mary went")
    code, _, err = relp_sae("features", run, "--data", text, *arguments)
    assert code == 2
    assert sentence in err


def test_a_run_without_scores_is_refused(relp_sae, run, text):
    (run / "scores.parquet").unlink()
    code, _, err = relp_sae("features", run, "--data", text)
    assert code == 2
    assert "has no scores.parquet yet" in err
