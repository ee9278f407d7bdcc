"""A run from config to folder: complete, honest about its inputs, and resumable."""

import numpy as np
import pytest

from relp_sae.errors import InputError
from relp_sae.experiment import run_experiment, write_agreement
from relp_sae.records import RunFolder
from relp_sae.records.joining import join_folders


def test_a_finished_run_holds_everything_that_it_promises(finished, config):
    folder = RunFolder.open(finished)
    manifest = folder.read_manifest()
    assert manifest.status == "done"
    assert manifest.config == config
    assert {stage.status for stage in manifest.stages.values()} == {"done"}
    assert {*manifest.stages} == {
        *("load", "measure", "agreement", "integrated-gradients:3", "delta-norm", "random"),
        *("gradient@corrupted", "gradient@clean", "relp@corrupted", "relp@clean"),
        *("denoise", "noise"),
    }
    assert manifest.behaviour.kept == 3
    assert manifest.rule_audit["relp"]["norm"].fired == 7  # two in each of 3 blocks, one at the end
    assert manifest.sae_quality["resid_pre.1"].l0 == pytest.approx(8)  # a TopK SAE with k = 8
    assert 0 < manifest.sae_quality["resid_pre.1"].error_share["denoise"] < 1
    assert len(manifest.provenance.model_sha256) == 64
    for name in ("report.md", "report.html", "agreement.json", "pairs.parquet"):
        assert (finished / name).stat().st_size > 100
    assert len(list((finished / "figures").glob("*.png"))) == 3
    assert not (finished / "parts").exists()


def test_scores_of_the_folder_are_those_of_the_api(finished, config):
    import relp_sae as rs
    from relp_sae.tasks.loading import load_task

    model = rs.load_model(config.model)
    pairs = load_task(config.task, model.tokenizer, 3, 0).pairs
    run = rs.PairedRun(model, rs.load_saes(config.saes), pairs, rs.metrics["logit_diff"])
    saved = {one.label: one for one in RunFolder.open(finished).read_scores()}
    np.testing.assert_array_equal(
        saved["relp@clean"].score, rs.attribute(run, "relp", base="clean").score
    )
    np.testing.assert_array_equal(saved["noise"].score, rs.patch(run, "noise", batch_size=16).score)
    np.testing.assert_array_equal(saved["noise"].units.feature, run.units.feature)


@pytest.mark.parametrize("stop_after", [1, 10, 20])
def test_an_interrupted_run_goes_on_and_ends_with_the_same_figures(
    stop_after, finished, config, tmp_path
):
    passed = 0

    def interrupted(_what, pairs):
        nonlocal passed
        for pair in pairs:
            passed += 1
            if passed > stop_after:
                raise KeyboardInterrupt
            yield pair

    with pytest.raises(KeyboardInterrupt):
        run_experiment(config, tmp_path / "run", interrupted)
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "run/parts").iterdir()}
    assert len(before) == stop_after

    redone = []

    def watched(what, pairs):
        for pair in pairs:
            redone.append(what)
            yield pair

    folder = run_experiment(config, tmp_path / "run", watched)
    whole = RunFolder.open(finished)
    for one, other in zip(folder.read_scores(), whole.read_scores(), strict=True):
        assert one.label == other.label
        np.testing.assert_array_equal(one.score, other.score)
    assert (folder.path / "agreement.json").read_bytes() == (
        finished / "agreement.json"
    ).read_bytes()


def test_a_finished_folder_is_not_overwritten(finished, config):
    before = (finished / "manifest.json").read_bytes()
    with pytest.raises(InputError, match="holds a finished run"):
        run_experiment(config, finished)
    assert (finished / "manifest.json").read_bytes() == before


def test_an_unfinished_run_of_other_settings_is_not_continued(config, tmp_path):
    def stop(_what, _pairs):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_experiment(config, tmp_path / "run", stop)
    other = config.model_copy(update={"seed": 1, "batch_size": 4})
    with pytest.raises(InputError, match=r"other settings \(seed, batch_size\)"):
        run_experiment(other, tmp_path / "run")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"methods": ("relpp",)}, "Unknown method 'relpp'. Did you mean 'relp'?"),
        ({"methods": ("relp:3",)}, "The method 'relp' takes no number of steps"),
        ({"truths": ("denoisee",)}, "Did you mean 'denoise'?"),
        ({"metric": "logit"}, "Unknown metric 'logit'"),
        ({"model": "no-such-model-anywhere"}, "Unknown model 'no-such-model-anywhere'"),
        ({"saes": ("nope",)}, "Unknown SAE 'nope'"),
        ({"task": "iot"}, "Did you mean 'ioi'?"),
        ({"n": 7}, "holds 3 usable pairs"),
        ({"device": "tpu9"}, "Device 'tpu9'"),
        ({"dtype": "float8"}, "Unknown dtype 'float8'"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing_behind(config, tmp_path, change, sentence):
    with pytest.raises(InputError) as caught:
        run_experiment(config.model_copy(update=change), tmp_path / "run")
    assert sentence in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_halves_made_apart_join_into_the_whole(config, finished, tmp_path):
    estimates = run_experiment(config.model_copy(update={"truths": ()}), tmp_path / "estimates")
    truth = run_experiment(config.model_copy(update={"methods": ()}), tmp_path / "truth")
    assert not (estimates.path / "agreement.json").exists()
    with pytest.raises(InputError, match="relp-sae patch"):
        write_agreement(estimates, estimates.read_scores())
    joined = join_folders([estimates, truth], tmp_path / "joined")
    write_agreement(joined, joined.read_scores())
    assert (joined.path / "agreement.json").read_bytes() == (
        finished / "agreement.json"
    ).read_bytes()


def test_runs_of_other_pairs_do_not_join(config, tmp_path):
    estimates = run_experiment(config.model_copy(update={"truths": ()}), tmp_path / "estimates")
    truth = run_experiment(config.model_copy(update={"methods": (), "n": 2}), tmp_path / "truth")
    with pytest.raises(InputError, match="n is 3 in the first and 2 in the second"):
        join_folders([estimates, truth], tmp_path / "joined")
    assert not (tmp_path / "joined").exists()
