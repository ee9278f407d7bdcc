"""The set-up: what is pinned, what is declared, what an import costs, and ``make``'s stamp."""

import ast
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import relp_sae

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
RUNTIME = [Requirement(line) for line in PROJECT["dependencies"]]
EXTRAS = [
    Requirement(line) for lines in PROJECT["optional-dependencies"].values() for line in lines
]
PINS = [
    Requirement(line)
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
]
PINNED = {canonicalize_name(pin.name): pin for pin in PINS}


def _version(pin: Requirement) -> str:
    (only,) = pin.specifier
    return only.version


def _installed_below(wanted: list[Requirement]) -> Iterator[Requirement]:
    """What ``wanted`` need here, and what that needs, as far as it is installed."""
    seen: set[tuple[str, tuple[str, ...]]] = set()
    todo = list(wanted)
    while todo:
        requirement = todo.pop()
        extras = tuple(sorted(requirement.extras))
        if (requirement.name, extras) in seen:
            continue
        seen.add((requirement.name, extras))
        yield requirement
        try:
            lines = metadata.requires(requirement.name) or []
        except metadata.PackageNotFoundError:
            continue
        for below in map(Requirement, lines):
            marker = below.marker
            if marker is None or any(marker.evaluate({"extra": e}) for e in extras or ("",)):
                todo.append(below)


def _imported(folder: Path) -> set[str]:
    """Top-level names of everything that the Python files in ``folder`` import."""
    names = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.ImportFrom):
                names.add(str(node.module).partition(".")[0])
            elif isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
    return names


def test_constraints_name_exact_public_releases():
    odd = [
        str(pin)
        for pin in PINS
        if [only.operator for only in pin.specifier] != ["=="]
        or "+" in _version(pin)
        or pin.url
        or pin.marker
        or pin.extras
    ]
    assert odd == []


@pytest.mark.parametrize("wanted", RUNTIME + EXTRAS, ids=str)
def test_what_pyproject_names_is_pinned_within_its_range(wanted):
    pin = PINNED[canonicalize_name(wanted.name)]
    assert wanted.specifier.contains(_version(pin), prereleases=True)


def test_what_the_named_packages_need_is_pinned_too():
    loose = {
        str(needed)
        for needed in _installed_below(RUNTIME + EXTRAS)
        if canonicalize_name(needed.name) not in PINNED
        and all(only.operator != "==" for only in needed.specifier)  # pinned by what needs it
    }
    assert loose == set()


@pytest.mark.parametrize(
    ("folder", "declared"), [("src", RUNTIME), ("tests", RUNTIME + EXTRAS)], ids=["src", "tests"]
)
def test_what_is_imported_is_declared(folder, declared):
    distributions = metadata.packages_distributions()
    foreign = _imported(ROOT / folder) & distributions.keys() - {"relp_sae"}
    needed = {canonicalize_name(distributions[name][0]) for name in foreign}
    assert needed - {canonicalize_name(wanted.name) for wanted in declared} == set()


@pytest.mark.parametrize("name", relp_sae.__all__)
def test_public_names_resolve(name):
    assert getattr(relp_sae, name) is not None


def test_the_command_line_answers_without_the_heavy_packages():
    heavy = "torch transformers sae_lens matplotlib pandas scipy"
    script = f"import sys, relp_sae.cli; print(*set({heavy.split()}) & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


@pytest.fixture
def half_made(tmp_path):
    """A checkout whose set-up was interrupted: a .venv without its stamp."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    return tmp_path


def _make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("target", ["setup", "run", "check", "test"])
def test_a_half_made_environment_is_made_anew(half_made, target):
    assert "-m venv --clear .venv" in _make(half_made, "--dry-run", target).stdout


@pytest.mark.parametrize("changed", ["pyproject.toml", "constraints.txt"])
def test_new_pins_are_installed_and_old_ones_are_not_again(half_made, changed):
    (half_made / ".venv" / ".ready").touch()
    assert "pip install" not in _make(half_made, "--dry-run", "run").stdout
    assert "pip install" in _make(half_made, "--dry-run", f"--what-if={changed}", "run").stdout


def test_make_names_the_python_it_needs(half_made):
    done = _make(half_made, "setup", "PYTHON=false")
    assert done.returncode != 0
    assert done.stderr.startswith("Error: 'false' is not Python 3.11 or newer.")
