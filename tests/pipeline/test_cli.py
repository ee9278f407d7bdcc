"""The command line: what it prints, its exit codes, and that it dies well."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from relp_sae.cli import app as application
from relp_sae.models import load_tokenizer
from relp_sae.tasks import tasks

COMMANDS = (
    "run",
    "attribute",
    "patch",
    "nodes",
    "regimes",
    "features",
    "compare",
    "report",
    "check",
    "list",
    "train-sae",
)


@pytest.fixture
def whole_run(inputs):
    """The arguments of a small run."""
    return [
        *("run", "--model", inputs.model, "--sae", inputs.sae, "--task", inputs.task, "--n", 3),
        *("--methods", "gradient,relp", "--bootstrap", 100),
    ]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches(command):
    result = CliRunner().invoke(application.app, [command, "--help"])
    assert result.exit_code == 0
    assert len(result.output.splitlines()) > 5


def test_run_prints_a_table_and_names_the_report(relp_sae, whole_run, tmp_path):
    code, out, _ = relp_sae(*whole_run, "--out", tmp_path / "run")
    assert code == 0
    assert "gradient@corrupted" in out
    assert "relp@clean" in out
    told = "These pairs do not show that the model does this task. It prefers the answer on 100 %"
    for text in (out, *((tmp_path / f"run/report.{kind}").read_text() for kind in ("md", "html"))):
        assert f"{told} of the 3 clean prompts" in text
    assert (tmp_path / "run/report.md").is_file()


def test_attribute_patch_compare_report(relp_sae, whole_run, tmp_path):
    given = whole_run[1:9]
    assert relp_sae("attribute", *given, "--methods", "gradient", "--out", tmp_path / "a")[0] == 0
    assert relp_sae("patch", *given, "--truths", "denoise", "--out", tmp_path / "b")[0] == 0
    code, out, _ = relp_sae("compare", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "c")
    assert code == 0
    assert "gradient@corrupted" in out
    page = (tmp_path / "c/report.html").read_text()
    (tmp_path / "c/report.html").unlink()
    assert relp_sae("report", tmp_path / "c")[0] == 0
    assert (tmp_path / "c/report.html").read_text() == page


def test_check_prints_the_audit(relp_sae, inputs):
    code, out, _ = relp_sae("check", inputs.model)
    assert code == 0
    assert "ln 7/7 (norm)" in out
    assert "half 3/3 (gate)" in out
    assert "ah 3/3 (attention)" in out
    assert "differ" not in out


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *(("methods", "relp-ah"), ("truths", "noise"), ("tasks", "ioi-order"), ("rules", "half")),
        *(("composites", "relp"), ("metrics", "logit_diff"), ("models", "smollm2-135m")),
    ],
)
def test_list(relp_sae, kind, name):
    code, out, _ = relp_sae("list", kind)
    assert code == 0
    assert name in out.splitlines()


def test_list_tasks_shows_a_pair_of_each_without_reading_weights(relp_sae, inputs, tmp_path):
    for file in Path(inputs.model).glob("*tokenizer*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    code, out, _ = relp_sae("list", "tasks", "--model", tmp_path)
    assert code == 0
    tokenizer, lines = load_tokenizer(str(tmp_path)), out.splitlines()
    (pair,) = tasks["ioi-order"](tokenizer, n=1, seed=0)
    start = lines.index("ioi-order")
    assert [line.split(maxsplit=1) for line in lines[start + 2 : start + 4]] == [
        ["clean", repr(pair.clean)],
        ["corrupted", repr(pair.corrupted)],
    ]
    answer, foil = (tokenizer.decode([token]) for token in (pair.answer, pair.foil))
    assert lines[start + 4].strip() == f"answer {answer!r}, foil {foil!r}"
    refused = lines[lines.index("country-capital") + 2]
    assert refused.startswith("    not here: country-capital needs 2 countries")


def test_list_tasks_fetches_nothing(relp_sae, tmp_path, monkeypatch):
    monkeypatch.setenv("RELP_SAE_CACHE", str(tmp_path))
    code, out, _ = relp_sae("list", "tasks")
    *told, hint = out.splitlines()
    assert code == 0
    assert told[::2] == list(tasks)
    assert all(line.startswith("    ") for line in told[1::2])
    assert hint == "'relp-sae list tasks --model MODEL' shows a pair of each."
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["list", "metrics", "--model", "gpt2"], "--model goes with 'list saes' and 'list "),
        (["list", "tasks", "--model", "."], "Cannot read a Hugging Face tokenizer from ."),
        (["list", "taks"], "expected one of models, methods"),
        (["run", "--base", "cleen"], "--base is 'cleen'; expected one of corrupted, clean, both"),
        (["run", "--model", "gpt2"], "Give --sae for the model gpt2"),
        (["report", "nowhere"], "nowhere is not a run folder"),
        (["compare", "nowhere"], "nowhere is not a run folder"),
        (["check", "no-such-model-anywhere"], "Unknown model 'no-such-model-anywhere'"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(relp_sae, arguments, sentence):
    code, _, err = relp_sae(*arguments)
    assert code == 2
    assert sentence in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1


def test_an_existing_out_is_refused(relp_sae, whole_run, tmp_path):
    (tmp_path / "run").mkdir()
    code, _, err = relp_sae(*whole_run, "--out", tmp_path / "run")
    assert code == 2
    assert "not a run folder" in err
    assert list((tmp_path / "run").iterdir()) == []


def test_a_killed_run_goes_on(whole_run, tmp_path):
    command = [str(Path(sys.executable).with_name("relp-sae")), *map(str, whole_run)]
    command += ["--methods", "integrated-gradients:2000,gradient", "--out", str(tmp_path / "run")]
    first = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    waited = time.monotonic() + 300
    while not list((tmp_path / "run").glob("parts/*.parquet")):
        assert first.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < waited
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert not (tmp_path / "run/scores.parquet").exists()
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/report.md").is_file()
