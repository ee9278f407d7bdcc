"""The notebook runs from the first cell to the last, and is committed without its outputs."""

import json
import re
from pathlib import Path

import nbformat
import pytest
from nbmake.nb_run import NotebookRun

from relp_sae.models import load_tokenizer
from relp_sae.tasks import tasks

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "notebooks" / "relp_sae.ipynb"
RENDERED = ROOT / "docs" / "notebook"
SECONDS = 300  # for one cell, on a busy machine


@pytest.fixture(scope="module")
def cells():
    return nbformat.read(NOTEBOOK, as_version=4).cells


def test_outputs_are_not_committed(cells):
    code = [one for one in cells if one.cell_type == "code"]
    assert len(code) > 10
    assert all(one.outputs == [] and one.execution_count is None for one in code)


def write_sentences(path, seed):
    """Sentences of the toy model's grammar, as text to train on."""
    tokenizer = load_tokenizer(str(ROOT / "tests" / "toy_ioi" / "model"))
    lines = [
        json.dumps({"text": pair.clean + tokenizer.decode([pair.answer]) + "."})
        for pair in tasks["ioi"](tokenizer, n=5000, seed=seed)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def test_it_runs_on_the_toy_model(tmp_path, monkeypatch):
    monkeypatch.setenv("RELP_SAE_PROFILE", "toy")
    monkeypatch.setenv("RELP_SAE_OUT", str(tmp_path / "out"))
    monkeypatch.setenv("RELP_SAE_TEXT", write_sentences(tmp_path / "text.jsonl", 5))
    for i, name in enumerate(("RELP_SAE_HELD_OUT", "RELP_SAE_READ")):
        monkeypatch.setenv(name, write_sentences(tmp_path / f"{i}.jsonl", 6 + i))
    done = NotebookRun(NOTEBOOK, default_timeout=SECONDS).execute()
    assert done.error is None, done.error
    outputs = {
        one.id: "".join(
            shown.get("data", {}).get("text/markdown", "") for shown in one.get("outputs", [])
        )
        for one in done.nb.cells
    }
    assert "The model does this task" in outputs["study"] or "4 pairs are kept" in outputs["study"]
    for truth, base in (("denoise", "corrupted"), ("noise", "clean")):
        table = outputs[truth]
        assert all(
            f"| {name} |" in table for name in (f"gradient@{base}", f"relp@{base}", "secant")
        )
    best = re.search(r"gradient@corrupted \| (-?\d\.\d+) \[", outputs["denoise"])
    assert best is not None
    assert float(best[1]) > 0.5
    assert "Common features" in outputs["cards"]
    report = (tmp_path / "out" / "toy" / "run" / "report.md").read_text(encoding="utf-8")
    assert set(outputs["denoise"].splitlines()) <= set(report.splitlines())
    assert "relp - gradient (primary)" in outputs["contrasts"]


@pytest.mark.skipif(not RENDERED.exists(), reason="the rendered notebook is not committed yet")
def test_the_rendered_copy_is_of_this_notebook(cells):
    """If not: make notebook."""
    rendered = (RENDERED / "relp_sae.md").read_text(encoding="utf-8")
    missing = [one.id for one in cells if one.source.strip() not in rendered]
    assert missing == []
    shown = re.findall(r"!\[[^\]]*\]\((\S+?)\)", rendered)
    assert shown
    assert all((RENDERED / path).stat().st_size < 300_000 for path in shown)
