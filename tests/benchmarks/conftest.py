"""The benchmarks' own modules, imported as their scripts do it: from the folder they lie in."""

import importlib
import sys
import warnings
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="session")
def benchmark():
    """``benchmark("floor")``: a module of the benchmarks folder."""
    sys.path.insert(0, str(FOLDER))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what TransformerLens says when it is imported
            yield importlib.import_module
    finally:
        sys.path.remove(str(FOLDER))


@pytest.fixture(scope="session")
def llama_run(llama_model, make_run):
    """A run of three pairs on the tiny Llama, with a TopK SAE at resid_pre.1."""
    run = make_run(llama_model, "resid_pre.1")
    assert len(run.units)
    return run
