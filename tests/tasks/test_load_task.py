"""One door for built-in tasks and files."""

import pytest

from relp_sae.errors import InputError
from relp_sae.tasks import tasks
from relp_sae.tasks.loading import load_task
from relp_sae.tasks.pairs_file import read_pairs

LINES = [
    {"clean_ids": [1, i, 6], "corrupted_ids": [1, 5, 6], "answer_id": i, "foil_id": 5}
    for i in range(10, 15)
]


@pytest.mark.parametrize("name", tasks)
def test_a_registered_name(name, word_tokenizer):
    loaded = load_task(name, word_tokenizer, n=5, seed=2)
    assert loaded.pairs == tasks[name](word_tokenizer, n=5, seed=2)
    assert loaded.dropped == ()


@pytest.mark.parametrize("kind", [str, lambda path: path])
@pytest.mark.parametrize("name", ["pairs.jsonl", "pairs"])
def test_the_first_pairs_of_a_file(kind, name, word_tokenizer, write_lines):
    path = write_lines(*LINES, name=name)
    loaded = load_task(kind(path), word_tokenizer, n=3, seed=0)
    assert loaded.pairs == read_pairs(path, word_tokenizer).pairs[:3]


def test_bad_lines_are_counted_when_skipped(word_tokenizer, write_lines):
    path = write_lines("bad", *LINES, "worse")
    loaded = load_task(path, word_tokenizer, n=2, seed=0, skip_bad=True)
    assert len(loaded.pairs) == 2
    assert [line.number for line in loaded.dropped] == [1, 7]
    with pytest.raises(InputError, match="line 1: not JSON"):
        load_task(path, word_tokenizer, n=2, seed=0)


@pytest.mark.parametrize("n", [0, 6])
def test_a_file_says_how_many_pairs_it_holds(n, word_tokenizer, write_lines):
    with pytest.raises(InputError, match=f"holds 5 usable pairs. Ask for 1 to 5 of them, not {n}"):
        load_task(write_lines(*LINES), word_tokenizer, n=n, seed=0)


def test_neither_name_nor_file(word_tokenizer, tmp_path):
    with pytest.raises(InputError, match=r"Unknown task 'ioy'. Did you mean 'ioi'\?"):
        load_task("ioy", word_tokenizer, n=1, seed=0)
    with pytest.raises(InputError, match=r"There is no file absent.jsonl.gz"):
        load_task("absent.jsonl.gz", word_tokenizer, n=1, seed=0)
    with pytest.raises(InputError, match="is a folder"):
        load_task(str(tmp_path), word_tokenizer, n=1, seed=0)


def test_a_file_does_not_hide_a_registered_name(word_tokenizer, write_lines, monkeypatch):
    monkeypatch.chdir(write_lines(*LINES, name="ioi").parent)
    loaded = load_task("ioi", word_tokenizer, n=2, seed=0)
    assert loaded.pairs == tasks["ioi"](word_tokenizer, n=2, seed=0)
