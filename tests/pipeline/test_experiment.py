"""A run from config to folder: complete, honest about its inputs, and resumable."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from relp_sae.errors import InputError
from relp_sae.experiment import run_experiment, write_findings
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
    assert len(list((finished / "figures").glob("*.png"))) == 4
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
    np.testing.assert_array_equal(saved["noise"].score, rs.patch(run, "noise").score)
    np.testing.assert_array_equal(saved["noise"].units.feature, run.units.feature)


@pytest.mark.parametrize("stop_after", [1, 5, 8])
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


def stopping_at(stage, pieces):
    """Progress that stops a run once it has so many pieces of a stage."""

    def watched(what, indices):
        for done, piece in enumerate(indices):
            if what == stage and done == pieces:
                raise KeyboardInterrupt
            yield piece

    return watched


def test_a_run_stopped_inside_a_truth_goes_on_at_its_next_piece(
    finished, config, tmp_path, monkeypatch
):
    monkeypatch.setattr("relp_sae.patching.truth.SHARD", 7)
    config = config.model_copy(update={"methods": ()})
    out, parts = tmp_path / "run", tmp_path / "run/parts"
    with pytest.raises(KeyboardInterrupt):
        run_experiment(config, out, stopping_at("noise", 2))
    assert sorted(path.name for path in parts.glob("truth-noise-*")) == [
        *("truth-noise-0.parquet", "truth-noise-1.parquet")
    ]
    before = {path: path.stat().st_mtime_ns for path in parts.iterdir()}
    with pytest.raises(KeyboardInterrupt):
        run_experiment(config, out, stopping_at("noise", 4))
    assert len(list(parts.glob("truth-noise-*"))) == 4
    assert {path: path.stat().st_mtime_ns for path in before} == before
    scores, whole = run_experiment(config, out).read_scores(), RunFolder.open(finished)
    measured = [one for one in whole.read_scores() if one.kind == "truth"]
    for one, other in zip(scores, measured, strict=True):
        assert one.label == other.label
        rounding = 1e-5 * np.abs(other.score).max()  # of packs of 7 units and of all of them
        np.testing.assert_allclose(one.score, other.score, rtol=0, atol=rounding)


@pytest.mark.parametrize("altered", ["one less", "another"])
def test_a_run_that_finds_other_units_is_not_continued(config, tmp_path, monkeypatch, altered):
    """As on a processor where an activation falls on the other side of a threshold."""
    from relp_sae.run import paired_run

    config = config.model_copy(update={"methods": ()})
    out, plain = tmp_path / "run", paired_run.pair_steps
    with pytest.raises(KeyboardInterrupt):
        run_experiment(config, out, stopping_at("noise", 0))
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    count = RunFolder.open(out).read_manifest().found_units.count

    def other_steps(*given):
        steps = plain(*given)
        if altered == "another":
            steps.feature[0] += 1
            return steps
        rest = {name: getattr(steps, name)[1:] for name in ("pos", "feature", "delta", "relative")}
        return replace(steps, **rest)

    monkeypatch.setattr(paired_run, "pair_steps", other_steps)
    with pytest.raises(InputError) as caught:
        run_experiment(config, out)
    here = {"one less": f"{count - 3} are found", "another": "others are found"}[altered]
    assert f"begun with {count} units (torch " in str(caught.value)
    assert here in str(caught.value)
    assert "Go on where it was begun, or choose another --out." in str(caught.value)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    monkeypatch.setattr(paired_run, "pair_steps", plain)
    assert run_experiment(config, out).read_manifest().status == "done"


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
    other = config.model_copy(update={"seed": 1, "permutations": 8})
    with pytest.raises(InputError, match=r"other settings \(seed, permutations\)"):
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
        ({"verify": 3}, "A certificate needs at least 16 patches, got 3"),
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
        write_findings(estimates)
    joined = join_folders([estimates, truth], tmp_path / "joined")
    write_findings(joined)
    assert (joined.path / "agreement.json").read_bytes() == (
        finished / "agreement.json"
    ).read_bytes()

    manifest = truth.read_manifest()
    assert manifest.found_units is not None
    fewer = manifest.found_units.model_copy(update={"count": 7})
    truth.write_manifest(manifest.model_copy(update={"found_units": fewer}))
    with pytest.raises(InputError, match=r"found other units \(\d+ and 7\)"):
        join_folders([estimates, truth], tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_runs_of_other_pairs_do_not_join(config, tmp_path):
    estimates = run_experiment(config.model_copy(update={"truths": ()}), tmp_path / "estimates")
    truth = run_experiment(config.model_copy(update={"methods": (), "n": 2}), tmp_path / "truth")
    with pytest.raises(InputError, match="n is 3 in the first and 2 in the second"):
        join_folders([estimates, truth], tmp_path / "joined")
    assert not (tmp_path / "joined").exists()


def interrupted_run(config, out):
    """A run that stops after its first pair."""

    def stop(_what, pairs):
        yield next(iter(pairs))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_experiment(config, out, stop)


def test_a_run_whose_sae_changed_is_not_continued(config, sae_folder, tmp_path):
    import shutil

    sae = tmp_path / "sae"
    shutil.copytree(config.saes[0], sae)
    config = config.model_copy(update={"saes": (str(sae),)})
    interrupted_run(config, tmp_path / "run")
    shutil.rmtree(sae)
    shutil.copytree(sae_folder("resid_pre.1", seed=9), sae)
    with pytest.raises(InputError, match="changed since"):
        run_experiment(config, tmp_path / "run")


def test_bad_lines_are_dropped_counted_and_reported(config, tmp_path):
    lines = Path(config.task).read_text()
    (tmp_path / "pairs.jsonl").write_text("not json\n" + lines)
    changed = config.model_copy(update={"task": str(tmp_path / "pairs.jsonl"), "n": None})
    with pytest.raises(InputError, match="line 1"):
        run_experiment(changed, tmp_path / "run")
    skipping = changed.model_copy(update={"skip_bad": True})
    folder = run_experiment(skipping, tmp_path / "run")
    behaviour = folder.read_manifest().behaviour
    assert behaviour.measured == 3
    assert [line.split(":")[0] for line in behaviour.bad_lines] == ["line 1"]
    assert "1 lines of the pairs file could not be used" in (folder.path / "report.md").read_text()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"methods": (), "truths": ()}, "Nothing to do"),
        ({"dtype": "bfloat16"}, "cannot be measured in bfloat16"),
        ({"device": "meta"}, "Device 'meta' is not available"),
    ],
)
def test_what_cannot_be_measured_is_refused(config, tmp_path, change, sentence):
    with pytest.raises(InputError, match=sentence):
        run_experiment(config.model_copy(update=change), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_prompt_longer_than_the_model_reads_is_refused(config, tmp_path):
    import json

    ids = [0, *range(2, 80)]
    line = {"clean_ids": ids, "corrupted_ids": [*ids[:-1], 3], "answer_id": 4, "foil_id": 5}
    (tmp_path / "long.jsonl").write_text(json.dumps(line))
    changed = config.model_copy(update={"task": str(tmp_path / "long.jsonl"), "n": None})
    with pytest.raises(InputError, match="reads at most 64 tokens"):
        run_experiment(changed, tmp_path / "run")


def test_a_full_disk_leaves_no_folder(config, tmp_path, monkeypatch):
    import errno
    import os

    def full(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left on device"):
        run_experiment(config, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_folders_that_make_no_comparison_do_not_join(config, tmp_path):
    truth = run_experiment(
        config.model_copy(update={"methods": (), "truths": ("noise",)}), tmp_path / "truth"
    )
    with pytest.raises(InputError, match="several of them hold noise"):
        join_folders([truth, truth], tmp_path / "joined")
    interrupted_run(config, tmp_path / "half")
    with pytest.raises(InputError, match="unfinished run"):
        join_folders([truth, RunFolder.open(tmp_path / "half")], tmp_path / "joined")
    assert not (tmp_path / "joined").exists()
