"""The benchmark of false positives still runs, and its two estimates really are exchangeable."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

PATH = Path(__file__).parents[2] / "benchmarks" / "null_false_positives.py"


def test_it_prints_a_row_for_every_test(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(PATH), "--studies", "2", "--pairs", "4"])
    runpy.run_path(str(PATH), run_name="__main__")
    header, _, *rows = capsys.readouterr().out.splitlines()
    assert header.count("|") == 4  # two kinds of null
    assert len(rows) == 4 + 6
    assert all(row.count("±") == 2 for row in rows)


@pytest.mark.parametrize("own_error", [0.0, 0.5])
def test_neither_estimate_is_better_than_the_other(own_error):
    made = runpy.run_path(str(PATH))["study"](200, own_error, np.random.default_rng(0))
    truth, *estimates = (one.score for one in made)
    sizes = [np.median(np.abs(estimate - truth)) for estimate in estimates]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.1)
