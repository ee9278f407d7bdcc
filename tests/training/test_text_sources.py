"""Text for training: every source gives its documents, and says so in a sentence if it cannot."""

import gzip
import json
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pytest
import torch
import zstandard
from pyarrow import parquet

from relp_sae.errors import InputError
from relp_sae.tasks import tasks
from relp_sae.training.generated import sample
from relp_sae.training.text import documents, pack

TEXTS = ["The cat sat.", "Ein Käfer", "line one\nline two"]
LINES = b"".join(json.dumps({"id": 7, "text": text}).encode() + b"\n" for text in TEXTS)
PARQUET = {"id": [1, 2, 3], "text": TEXTS}
KNOWN = r"\.txt, \.jsonl, \.jsonl\.gz, \.jsonl\.zst, \.parquet"


def write(path: Path, content: bytes | dict) -> str:
    """The path of a new file, compressed as its name says."""
    if isinstance(content, dict):
        parquet.write_table(pa.table(content), path, row_group_size=2)
        return str(path)
    pack_up = {".gz": gzip.compress, ".zst": zstandard.compress}.get(path.suffix, bytes)
    path.write_bytes(pack_up(content))
    return str(path)


@pytest.fixture
def read(gpt2_model):
    """``read(source)``: all its documents."""
    return lambda source: list(documents(source, gpt2_model, 0))


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.txt", "line one\n\nKäfer\n".encode(), ["line one\n\nKäfer\n"]),
        ("a.jsonl", b"\n" + LINES + b"  \n", TEXTS),
        ("a.jsonl.gz", LINES, TEXTS),
        ("a.jsonl.zst", LINES, TEXTS),
        ("a.parquet", PARQUET, TEXTS),
        ("blank.jsonl", b'{"text": " \\n"}\n{"text": "x"}\n', ["x"]),
    ],
)
def test_files(read, tmp_path, name, content, expected):
    assert read(write(tmp_path / name, content)) == expected


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
def test_files_of_several_compressed_pieces_are_read_to_their_end(read, tmp_path, compress):
    path = tmp_path / f"a.jsonl.{'gz' if compress is gzip.compress else 'zst'}"
    path.write_bytes(compress(LINES) + compress(LINES))
    assert read(str(path)) == 2 * TEXTS


def test_a_folder_is_its_files_in_the_order_of_their_names(read, tmp_path):
    write(tmp_path / "b.txt", b"second")
    write(tmp_path / "c.parquet", PARQUET)
    write(tmp_path / "a.jsonl.zst", b'{"text": "first"}\n')
    (tmp_path / "README.md").write_text("no text")
    (tmp_path / "inner.txt").mkdir()
    assert read(str(tmp_path)) == ["first", "second", *TEXTS]


def test_large_files_are_not_read_whole(gpt2_model, tmp_path):
    """The damage at the end is found only by whoever reads so far."""
    whole = zstandard.compress(LINES * 200_000)
    (tmp_path / "a.jsonl.zst").write_bytes(whole[:-9])
    first = documents(str(tmp_path / "a.jsonl.zst"), gpt2_model, 0)
    assert list(islice(first, 3)) == TEXTS


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.pdf", b"", rf"Cannot read .*a\.pdf: expected a file ending in {KNOWN}\."),
        ("a.txt", b"caf\xe9", r"a\.txt is not UTF-8 text"),
        ("a.txt", b" \n", r"a\.txt holds no text"),
        ("a.jsonl", b"", r"a\.jsonl holds no text"),
        ("a.jsonl", b'{"text": "x"}\n{"text": "caf\xe9"}\n', r"a\.jsonl line 2 is not UTF-8"),
        ("a.jsonl", LINES + b'\n{"text": 3}\n', r'line 5: expected text in .*"text", found 3\.'),
        ("a.jsonl", b'{"b": 1, "c": 2}\n', r'line 1: expected the field "text", found b, c\.'),
        ("a.jsonl", b"[1]\n", r'line 1: expected an object with the field "text", found a list'),
        ("a.jsonl", b"plain words\n", r"a\.jsonl line 1 is not JSON: Expecting value"),
        ("a.jsonl", b'{"text": "\\ud800"}\n', r'line 1: its "text" is not Unicode'),
        ("a.parquet", {"words": ["x"]}, r'a\.parquet: expected the field "text", found words\.'),
        ("a.parquet", {"text": ["x", None]}, r"a\.parquet row 2: expected text .* found null\."),
        ("a.parquet", b"no parquet at all", r"Cannot read .*a\.parquet: Parquet magic bytes"),
    ],
)
def test_bad_files_are_named_with_the_place(read, tmp_path, name, content, sentence):
    with pytest.raises(InputError, match=sentence):
        read(write(tmp_path / name, content))


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst"])
def test_a_compressed_file_that_ends_too_early_is_refused(read, tmp_path, name):
    path = Path(write(tmp_path / name, LINES))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match=rf"Cannot read .*{name}: Truncated"):
        read(str(path))
    path.write_bytes(LINES)
    with pytest.raises(InputError, match=rf"Cannot read .*{name}: .+ failed"):
        read(str(path))


def test_what_is_not_there_is_said_before_anything_is_read(gpt2_model, tmp_path):
    with pytest.raises(InputError, match=rf"No text at nowhere\. Give .*{KNOWN}.*hf:.*generated"):
        documents("nowhere", gpt2_model, 0)
    (tmp_path / "README.md").write_text("no text")
    with pytest.raises(InputError, match=rf"has no file ending in {KNOWN}\."):
        documents(str(tmp_path), gpt2_model, 0)


@pytest.fixture
def data_set(tmp_path):
    """A data set as ``datasets`` opens it from a folder, with two splits."""
    write(tmp_path / "train.jsonl", LINES)
    write(tmp_path / "test.jsonl", b'{"id": 1, "text": "held out"}\n')
    return str(tmp_path)


def test_data_sets_through_the_datasets_library(read, data_set):
    assert read(f"hf:{data_set}") == TEXTS
    assert read(f"hf:{data_set}@default:train") == TEXTS
    assert read(f"hf:{data_set}:test") == ["held out"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (":valid", r"Cannot read the data set hf:.*:valid: Bad split: valid\. Available splits"),
        ("@german", r"Cannot read the data set .*BuilderConfig 'german' not found"),
        ("@a@b", r"Cannot tell the data set in 'hf:.*@a@b'\. Expected hf:OWNER/NAME"),
    ],
)
def test_a_data_set_without_that_part(read, data_set, name, sentence):
    with pytest.raises(InputError, match=sentence):
        read(f"hf:{data_set}{name}")


def test_data_sets_that_cannot_be_read(read, tmp_path):
    offline = r"Couldn't reach 'NeelNanda/pile-10k' .*Without the Hub, give .*file.*generated"
    with pytest.raises(InputError, match=offline):  # conftest.py sets HF_HUB_OFFLINE
        read("hf:NeelNanda/pile-10k")
    with pytest.raises(InputError, match=r"Cannot read the data set hf:/no/such/folder: Couldn't"):
        read("hf:/no/such/folder")
    write(tmp_path / "train.jsonl", b'{"words": "x"}\n')
    with pytest.raises(InputError, match=r'record 1: expected the field "text", found words\.'):
        read(f"hf:{tmp_path}")


def test_generated_text_is_decided_by_seed_and_number(gpt2_model):
    state = torch.random.get_rng_state()
    first = list(islice(documents("generated", gpt2_model, 3), 40))
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(1)
    assert list(islice(documents("generated", gpt2_model, 3), 40)) == first
    assert not set(first) & set(islice(documents("generated", gpt2_model, -4), 40))
    assert len(set(first)) == 40
    assert max(len(gpt2_model.tokenizer.tokenize(text)) for text in first) <= 64  # what it reads


@pytest.mark.parametrize("name", ["gpt2", "gpt_neo", "gemma2"])
def test_generated_tokens_are_drawn_from_the_models_distribution(load_tiny, name):
    """Against full forward passes of single documents, without a cache."""
    model = load_tiny(name)
    draws = torch.rand(6, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    draws[0, 7] = 0.0  # the first token, which is the separator and ends the document
    found = sample(model, draws)
    assert len(found[0]) == 7
    assert max(map(len, found)) == 30
    for ids, row in zip(found, draws, strict=True):
        with torch.no_grad():
            logits = model.hf(input_ids=torch.tensor([[0, *ids]])).logits[0].double()
        upper = logits.softmax(-1).cumsum(-1)
        for at, token in enumerate([*ids, 0][:30]):
            lower = upper[at, token - 1].item() if token else 0.0
            assert lower - 1e-6 <= row[at].item() <= upper[at, token].item() + 1e-6


def test_generated_text_needs_a_first_token_and_an_end_of_silence(gpt2_model, monkeypatch):
    monkeypatch.setattr("relp_sae.training.generated.sample", lambda _, draws: [[] for _ in draws])
    with pytest.raises(InputError, match="wrote 32 empty documents in a row"):
        next(documents("generated", gpt2_model, 0))
    tokenizer = type(gpt2_model.tokenizer)(tokenizer_object=gpt2_model.tokenizer.backend_tokenizer)
    with pytest.raises(InputError, match="no begin-of-sequence token for generated text"):
        documents("generated", replace(gpt2_model, tokenizer=tokenizer), 0)


def test_contexts_are_the_documents_end_to_end_behind_separators(gpt2_model, tmp_path):
    tokenizer = gpt2_model.tokenizer
    pairs = tasks["ioi"](tokenizer, n=50, seed=5)
    lines = [json.dumps({"text": pair.clean}) for pair in pairs]
    text = write(tmp_path / "a.jsonl.gz", "\n".join(lines).encode())
    contexts = list(pack(documents(text, gpt2_model, 0), tokenizer, 16))
    assert {context.shape for context in contexts} == {(1, 16)}
    assert all(context[0, 0] == tokenizer.bos_token_id for context in contexts)
    joined = [token for context in contexts for token in context[0, 1:].tolist()]
    expected = []
    for pair in pairs:
        expected += [
            tokenizer.bos_token_id,
            *tokenizer.encode(pair.clean, add_special_tokens=False),
        ]
    assert joined == expected[: len(joined)]
    assert len(expected) - len(joined) < 15
