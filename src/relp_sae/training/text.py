"""Text for training: local files, packed into contexts of token ids."""

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from relp_sae.errors import InputError
from relp_sae.models import LanguageModel
from relp_sae.tasks.encoding import encode
from relp_sae.tensors import Tokens

SUFFIXES = (".txt", ".jsonl", ".jsonl.gz")


def read_documents(source: str) -> Iterator[str]:
    """Documents of a ``.txt`` file (one), a ``.jsonl`` or ``.jsonl.gz`` file (one a line, in its
    field ``text``), or a folder of such files in the order of their names.

    Raises:
        InputError: no such file, another format, not UTF-8, or a line without text.
    """
    path = Path(source)
    if path.is_dir():
        paths = sorted(p for p in path.iterdir() if p.name.endswith(SUFFIXES))
        if not paths:
            raise InputError(f"The folder {path} has no file ending in {', '.join(SUFFIXES)}.")
        for inner in paths:
            yield from read_documents(str(inner))
        return
    if not path.is_file():
        raise InputError(
            f"No text at {source}. Give a {', '.join(SUFFIXES)} file or a folder of them."
        )
    if not path.name.endswith(SUFFIXES):
        raise InputError(f"Cannot read {path}: expected a file ending in {', '.join(SUFFIXES)}.")
    try:
        yield from _read_file(path)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text: {error}.") from error
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"Cannot read {path}: {error}.") from error


def documents(source: str, model: LanguageModel, seed: int) -> Iterator[str]:  # noqa: ARG001
    """The documents of a text source, the same at every call with the same arguments."""
    return read_documents(source)


def _read_file(path: Path) -> Iterator[str]:
    if path.suffix == ".txt":
        yield path.read_text(encoding="utf-8")
        return
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                text = json.loads(line)["text"]
            except (json.JSONDecodeError, KeyError, TypeError):
                text = None
            if not isinstance(text, str):
                raise InputError(f'{path} line {number}: expected an object with a text "text".')
            yield text


def pack(
    documents: Iterator[str], tokenizer: PreTrainedTokenizerBase, context: int
) -> Iterator[Tokens]:
    """Token ids of shape (1, context): documents end to end, each behind the separator token.

    The separator is the begin-of-sequence token, which also starts every context, as it starts
    every prompt. What is left over at the end, shorter than a context, is dropped.
    """
    separator = list(encode(tokenizer, ""))
    body = context - len(separator)
    pending: list[int] = []
    for document in documents:
        pending += encode(tokenizer, document)
        while len(pending) >= body:
            yield torch.tensor([separator + pending[:body]])
            del pending[:body]
