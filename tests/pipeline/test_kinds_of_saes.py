"""``relp-sae run`` with an attention SAE, a transcoder, a skip transcoder, and an SAE of mlp_in."""

import json

import numpy as np
import pytest

import relp_sae as rs
from relp_sae.models import load_model
from relp_sae.records import RunFolder, Site
from relp_sae.tasks.loading import load_task

SITES = {"z.1", "mlp_in.2", "mlp_out.0", "mlp_out.1"}


def pairs_file(model, make_run, folder):
    """A file of pairs that the model gets right."""
    lines = [
        {
            **{"clean_ids": pair.clean_ids, "corrupted_ids": pair.corrupted_ids},
            **{"answer_id": pair.answer, "foil_id": pair.foil},
        }
        for pair in make_run(model).pairs
    ]
    task = folder / "pairs.jsonl"
    task.write_text("\n".join(json.dumps(line) for line in lines) + "\n")
    return task


@pytest.fixture(params=["gpt2", "gemma2"])
def given(request, save_tiny, make_run, sae_folder, transcoder_folder, tmp_path):
    """A model folder, SAE folders, and a file of pairs."""
    folder = save_tiny(request.param)
    model = load_model(str(folder))
    task = pairs_file(model, make_run, tmp_path)
    wide = model.width(Site(1, "z"))
    saes = [
        sae_folder("z.1", "standard", d_in=wide, reshape_activations="hook_z"),
        sae_folder("mlp_in.2", "topk"),
        transcoder_folder("mlp_normalized.0", "mlp_out.0", "jumprelu_transcoder"),
        transcoder_folder("mlp_in.1", "mlp_out.1", "skip_transcoder"),
    ]
    return folder, saes, task


def test_a_folder_of_any_family_runs_through(
    any_family, save_tiny, make_run, sae_folder, relp_sae, tmp_path
):
    """With weights and a shape that nothing here was made for, and a SAELens folder beside it."""
    model, out = save_tiny(any_family), tmp_path / "run"
    task = pairs_file(load_model(str(model)), make_run, tmp_path)
    options = ["--model", model, "--sae", sae_folder("resid_post.1", "jumprelu"), "--task", task]
    options += ["--methods", "gradient,relp,secant", "--bootstrap", 100, "--out", out]
    code, _, _ = relp_sae("run", *options)
    assert code == 0
    scores = {one.label: one.score for one in RunFolder.open(out).read_scores()}
    assert {"denoise", "noise", "secant"} <= scores.keys()
    assert all(np.isfinite(one).all() and np.abs(one).max() > 0 for one in scores.values())


def test_a_whole_run(given, relp_sae, tmp_path):
    model, saes, task = given
    out = tmp_path / "run"
    options = ["--model", model, "--sae", ",".join(map(str, saes)), "--task", task]
    options += ["--methods", "gradient,relp,secant,direct", "--truths", "denoise"]
    options += ["--bootstrap", 100, "--out", out]
    code, printed, _ = relp_sae("run", *options)
    assert code == 0
    assert "gradient@corrupted" in printed
    folder = RunFolder.open(out)
    manifest = folder.read_manifest()
    assert {site: one.reads for site, one in manifest.sae_quality.items()} == {
        **{"z.1": "z.1", "mlp_in.2": "mlp_in.2"},
        **{"mlp_out.0": "mlp_normalized.0", "mlp_out.1": "mlp_in.1"},
    }
    scores = {one.label: one for one in folder.read_scores()}
    assert set(scores["denoise"].units.site) == SITES
    assert all(np.isfinite(one.score).all() for one in scores.values())
    assert not scores["direct"].score[scores["direct"].units.site == "mlp_in.2"].any()
    loaded = rs.load_model(str(model))
    pairs = load_task(str(task), loaded.tokenizer, None, 0).pairs
    run = rs.PairedRun(loaded, rs.load_saes(map(str, saes)), pairs, rs.metrics["logit_diff"])
    full_passes = rs.patch(run, "denoise", engine="reference").score
    largest = np.abs(full_passes).max()
    np.testing.assert_allclose(scores["denoise"].score, full_passes, rtol=0, atol=1e-4 * largest)
    report = (out / "report.md").read_text()
    assert "mlp_in.1 to mlp_out.1" in report
    assert "mlp_normalized.0 to mlp_out.0" in report
