"""Which SAEs and models, on the command line: --sae, --site, the permissions, list saes."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from relp_sae.catalogue import BUNDLED, releases
from relp_sae.cli import options
from relp_sae.errors import InputError
from relp_sae.experiment import run_experiment
from relp_sae.records import RunFolder
from relp_sae.saes import load_saes


@pytest.fixture
def attribute(relp_sae, inputs, tmp_path):
    """``attribute("--sae", ...)``: estimates only; (code, out, err) and the run folder."""

    def run(*arguments, model=inputs.model):
        given = ("--model", model, "--task", inputs.task, "--n", 3, "--methods", "gradient")
        ended = relp_sae("attribute", *given, *arguments, "--out", tmp_path / "run")
        return *ended, RunFolder(tmp_path / "run")

    return run


def spoiled(source, to, weights=None, **changes):
    """A copy of a folder with another configuration, and its weights as a pickle of that name."""
    shutil.copytree(source, to)
    (config,) = (path for path in (to / "cfg.json", to / "config.json") if path.is_file())
    config.write_text(json.dumps(json.loads(config.read_text()) | changes))
    if weights:
        (safe,) = to.glob("*.safetensors")
        torch.save(load_file(safe), to / weights)
        safe.unlink()
    return to


# --sae.


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["a,b,c"], ("a", "b", "c")),
        (["a", "b,c"], ("a", "b", "c")),
        (["a/x, b/y"], ("a/x", "b/y")),
        (["a", "a"], ("a",)),
        (None, (options.DEFAULT_SAE,)),
        ([], (options.DEFAULT_SAE,)),
    ],
)
def test_several_saes_are_given_with_commas_or_again(given, expected):
    assert options.saes_for(options.DEFAULT_MODEL, given) == expected


def test_a_folder_with_a_comma_in_its_name_is_one_sae(tmp_path):
    folder = tmp_path / "width 16k, layer 3"
    folder.mkdir()
    assert options.saes_for("gpt2", [str(folder), "a,b"]) == (str(folder), "a", "b")


@pytest.mark.parametrize("separately", [False, True])
def test_saes_over_layers(attribute, sae_folder, separately):
    saes = [str(sae_folder(site)) for site in ("resid_pre.1", "mlp_out.2")]
    given = saes if separately else [",".join(saes)]
    arguments = [word for one in given for word in ("--sae", one)]
    code, _, err, folder = attribute(*arguments)
    assert code == 0, err
    assert folder.read_manifest().config.saes == tuple(saes)
    assert set(folder.read_scores()[0].units.site) == {"resid_pre.1", "mlp_out.2"}


def test_the_bad_one_of_several_is_named(attribute, inputs, sae_folder):
    bad = str(sae_folder("resid_pre.7"))
    code, _, err, folder = attribute("--sae", f"{inputs.sae},{bad}")
    assert code == 2
    assert f"{bad} is for the site resid_pre.7. {inputs.model} has no site resid_pre.7" in err
    assert inputs.sae not in err
    assert not folder.path.exists()


# --site and the permissions: each is refused, then asked for, and is in the run's record.


def test_an_sae_without_metadata_runs_with_its_site(attribute, inputs, tmp_path):
    sae = spoiled(inputs.sae, tmp_path / "sae", metadata={"sae_lens_version": "6.54.0"})
    code, _, err, _ = attribute("--sae", sae)
    assert (code, "Say it with --site KIND.LAYER" in err) == (2, True)
    code, _, err, folder = attribute("--sae", sae, "--site", "resid_post.0")
    assert code == 0, err
    assert folder.read_manifest().config.sites == ("resid_post.0",)
    assert set(folder.read_scores()[0].units.site) == {"resid_post.0"}


def test_nodes_have_no_site_to_give(relp_sae, inputs, tmp_path):
    given = ("--model", inputs.model, "--units", "nodes", "--site", "resid_pre.1")
    code, _, err = relp_sae("run", *given, "--out", tmp_path / "run")
    assert (code, "leave --sae and --site away" in err) == (2, True)


def test_pickles_of_sae_and_model_run_when_allowed(attribute, inputs, tmp_path):
    sae = spoiled(inputs.sae, tmp_path / "sae", "sae_weights.pt")
    model = spoiled(inputs.model, tmp_path / "model", "pytorch_model.bin")
    code, _, err, _ = attribute("--sae", inputs.sae, model=model)
    assert (code, f"{model} has no safetensors" in err) == (2, True)
    code, _, err, _ = attribute("--sae", sae)
    assert (code, f"{sae} has no sae_weights.safetensors" in err) == (2, True)
    code, _, err, folder = attribute("--sae", sae, "--allow-pickle", model=model)
    assert code == 0, err
    assert folder.read_manifest().config.allow_pickle


def test_a_permission_belongs_to_the_settings_of_a_run(config, inputs, tmp_path):
    """Resumed without it the run is not the same; with it, it goes on."""
    sae = spoiled(inputs.sae, tmp_path / "sae", "sae_weights.pt")
    asked = {"saes": (str(sae),), "allow_pickle": True, "methods": ("gradient",), "truths": ()}
    config = config.model_copy(update=asked)

    def stop(_what, _pairs):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_experiment(config, tmp_path / "run", stop)
    without = config.model_copy(update={"allow_pickle": False})
    with pytest.raises(InputError, match=r"other settings \(allow_pickle\)"):
        run_experiment(without, tmp_path / "run")
    assert run_experiment(config, tmp_path / "run").read_manifest().status == "done"


def test_a_model_with_code_of_its_own_is_refused_by_every_command(relp_sae, inputs, tmp_path):
    auto_map = {"AutoConfig": "configuration_own.OwnConfig"}
    model = spoiled(inputs.model, tmp_path / "m", model_type="own", auto_map=auto_map)
    for command in (["check", model], ["nodes", "--model", model]):
        code, _, err = relp_sae(*command)
        assert code == 2
        assert "add --trust-remote-code" in err
        assert len(err.strip().splitlines()) == 1


def test_another_models_sae_is_refused_and_on_purpose_reported(
    relp_sae, inputs, sae_folder, tmp_path, monkeypatch
):
    """A model by a name that people share; here the name of a folder beside the others."""
    sae = sae_folder(metadata={"model_name": "gpt2-small"})
    monkeypatch.setattr("relp_sae.saes.fit._is_path", lambda _name: False)
    given = ("--model", inputs.model, "--task", inputs.task, "--n", 3, "--methods", "gradient,relp")
    given = ("run", *given, "--truths", "denoise", "--bootstrap", 100, "--out", tmp_path / "run")
    code, _, err = relp_sae(*given, "--sae", sae)
    assert code == 2
    assert f"{sae} was trained on gpt2-small, but the model is {inputs.model}" in err
    code, _, err = relp_sae(*given, "--sae", sae, "--allow-other-model")
    assert code == 0, err
    folder = RunFolder(tmp_path / "run")
    assert folder.read_manifest().config.allow_other_model
    assert folder.read_manifest().sae_quality["resid_pre.1"].trained_on == "gpt2-small"
    report = (folder.path / "report.md").read_text()
    assert "trained elsewhere: that at `resid_pre.1` on `gpt2-small`; this run's model is" in report


def test_the_report_says_nothing_where_the_names_are_one(finished, config):
    from relp_sae.report.sections import sae_quality

    manifest = RunFolder(finished).read_manifest()
    assert "trained elsewhere" in str(sae_quality(manifest))  # metadata say 'tiny'
    config = config.model_copy(update={"model": "someone/Tiny"})
    same = manifest.model_copy(update={"config": config})
    assert "trained elsewhere" not in str(sae_quality(same))


# list saes.


def listed(relp_sae, *arguments):
    code, out, err = relp_sae("list", "saes", *arguments)
    assert code == 0, err
    return out.splitlines()


def test_models_with_published_saes(relp_sae):
    lines = listed(relp_sae)
    assert lines[0].split() == ["MODEL", "RELEASES", "SAES", "SUCH", "AS"]
    rows = [line.split() for line in lines[1:-2]]
    bundled, published = rows[: len(BUNDLED)], rows[len(BUNDLED) :]
    assert [row[0] for row in bundled] == [*BUNDLED.values()]
    assert {row[0] for row in published} == {one.model for one in releases().values()}
    assert sum(int(row[2]) for row in published) == sum(len(r.saes) for r in releases().values())
    assert len(lines) < 60


@pytest.mark.parametrize("name", ["gemma-2-2b", "google/gemma-2-2b"])
def test_releases_of_a_model(relp_sae, name):
    lines = listed(relp_sae, "--model", name)
    rows = [line.split()[0] for line in lines[1:-2]]
    assert rows == [one.name for one in releases().values() if one.model == "gemma-2-2b"]
    (row,) = (line for line in lines if line.startswith("gemma-scope-2b-pt-res-canonical "))
    assert "58    resid_post 0-25" in row
    (row,) = (line for line in lines if line.startswith("saebench_gemma-2-2b_width-2pow12"))
    assert "resid_post 12" in row
    assert row.endswith("pickles: --allow-pickle")
    (row,) = (line for line in lines if line.startswith("gemma-scope-2b-pt-transcoders"))
    assert row.endswith("transcoders")
    (row,) = (line for line in lines if line.startswith("mntss-gemma-2-2b-2.5m-clt"))
    assert row.endswith("not supported (cross-layer: a feature writes at all later layers)")


def test_cross_layer_transcoders_are_not_supported(relp_sae):
    """SAELens would load each as a transcoder of one layer, its decoders summed."""
    (name,) = (one.name for one in releases().values() if one.format.startswith("mntss_clt"))
    first = listed(relp_sae, "--release", name)[0]
    assert (first.endswith("at all later layers)):"), "--sae" in first) == (True, False)
    with pytest.raises(InputError, match=r"layer_3 cannot be used \(cross-layer"):
        load_saes(f"{name}/layer_3")


def test_the_saes_of_a_release_can_be_given_as_they_stand(relp_sae):
    lines = listed(relp_sae, "--release", "gpt2-small-res-jb", "--model", "gpt2")
    assert lines[0] == "For gpt2-small; use with --sae:"
    assert "gpt2-small-res-jb/blocks.8.hook_resid_pre" in lines[10]
    assert lines[10].split() == [
        *("gpt2-small-res-jb/blocks.8.hook_resid_pre", "resid_pre.8", "-", "60")
    ]
    assert len(lines) == 15


def test_the_bundled_sae_is_listed_with_its_model(relp_sae):
    assert listed(relp_sae, "--model", "smollm2-135m")[1].split() == [
        *("smollm2-135m-topk", "1", "inside", "this", "package")
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["saes", "--model", "gemma-2-3b"],
            "No published SAE is known for the model 'gemma-2-3b'. Did you mean 'gemma-2-",
        ),
        (
            ["saes", "--release", "gpt2-small-res-jp"],
            "no release 'gpt2-small-res-jp'. Did you mean 'gpt2-small-res-jb'?",
        ),
        (
            ["saes", "--release", "gpt2-small-res-jb", "--model", "gemma-2-2b"],
            "The release gpt2-small-res-jb is for gpt2-small, not for gemma-2-2b.",
        ),
        (["tasks", "--release", "x"], "--release goes with 'list saes', not with 'list tasks'."),
    ],
)
def test_a_name_that_is_not_there(relp_sae, arguments, sentence):
    code, out, err = relp_sae("list", *arguments)
    assert (code, out) == (2, "")
    assert sentence in err


def test_docs_show_what_is_printed(relp_sae):
    """The listing in docs/saes.md is the command's own."""
    text = (Path(__file__).parents[2] / "docs/saes.md").read_text()
    shown = text.split("$ relp-sae list saes --model pythia-70m-deduped\n")[1].split("```")[0]
    assert shown.splitlines() == listed(relp_sae, "--model", "pythia-70m-deduped")
