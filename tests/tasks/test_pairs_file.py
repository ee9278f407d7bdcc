"""The user's own pairs: what is read, and a sentence for everything that can be wrong."""

import gzip
import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from relp_sae.errors import InputError
from relp_sae.tasks.encoding import encode, single_token
from relp_sae.tasks.loaded import BadLine
from relp_sae.tasks.pairs_file import read_pairs

GOOD = {
    "clean": "Then, Mary and John went to the store. John gave a drink to",
    "corrupted": "Then, Mary and John went to the store. Mary gave a drink to",
    "answer": " Mary",
    "foil": " John",
}
OTHER = {key: text.replace("store", "garden") for key, text in GOOD.items()}
IDS = {"clean_ids": [1, 5, 6], "corrupted_ids": [1, 7, 6], "answer_id": 5, "foil_id": 7}


def without(key):
    return {k: v for k, v in GOOD.items() if k != key}


def test_texts_are_encoded_like_a_task_does(tokenizer, write_lines):
    (pair,) = read_pairs(write_lines(GOOD), tokenizer).pairs
    assert (pair.clean, pair.corrupted) == (GOOD["clean"], GOOD["corrupted"])
    assert pair.clean_ids == encode(tokenizer, GOOD["clean"])
    assert pair.corrupted_ids == encode(tokenizer, GOOD["corrupted"])
    assert pair.answer == single_token(tokenizer, " Mary")
    assert pair.foil == single_token(tokenizer, " John")


def test_ids_are_taken_as_they_are(tokenizer, write_lines):
    (pair,) = read_pairs(write_lines(IDS), tokenizer).pairs
    assert (pair.clean_ids, pair.corrupted_ids) == ((1, 5, 6), (1, 7, 6))
    assert (pair.answer, pair.foil) == (5, 7)
    assert pair.clean == tokenizer.decode([1, 5, 6])


def test_text_and_ids_may_stand_on_one_line(word_tokenizer, write_lines):
    mixed = without("foil") | {"foil_id": 7}
    (pair,) = read_pairs(write_lines(mixed), word_tokenizer).pairs
    assert (pair.answer, pair.foil) == (single_token(word_tokenizer, " Mary"), 7)


def test_blank_lines_and_a_byte_order_mark_are_passed_over(word_tokenizer, write_lines):
    path = write_lines("\ufeff" + json.dumps(GOOD), "", "  ", OTHER, "")
    assert len(read_pairs(path, word_tokenizer).pairs) == 2


def test_compressed_file(word_tokenizer, write_lines, tmp_path):
    path = tmp_path / "pairs.jsonl.gz"
    path.write_bytes(gzip.compress(write_lines(GOOD, OTHER).read_bytes()))
    assert read_pairs(path, word_tokenizer) == read_pairs(tmp_path / "pairs.jsonl", word_tokenizer)


BAD_LINES = {
    "not json": ("{clean: 1}", 'not JSON (key must be a string at column 2). Expected {"clean"'),
    "half a line": ('{"clean": "a', "not JSON (EOF while parsing a string at column 12)"),
    "not an object": ("[1, 2]", "not an object: [1, 2]. Expected {"),
    "missing": (without("foil"), "'foil' is missing. Expected 'foil' as text, or 'foil_id'"),
    "missing ids": (
        {k: v for k, v in IDS.items() if k != "clean_ids"},
        "'clean' is missing. Expected 'clean' as text, or 'clean_ids' instead",
    ),
    "null": (GOOD | {"answer": None}, "'answer' is missing"),
    "unknown key": (
        without("clean") | {"claen": "x"},
        "unknown key 'claen'. Did you mean 'clean'? Known: clean, ",
    ),
    "number for text": (GOOD | {"clean": 3}, "'clean' is 3. Input should be a valid string"),
    "text for id": (IDS | {"foil_id": "7"}, "'foil_id' is '7'. Input should be a valid integer"),
    "truth for id": (IDS | {"foil_id": True}, "'foil_id' is True. Input should be a valid int"),
    "fraction for id": (IDS | {"clean_ids": [1, 5.5, 6]}, "'clean_ids.1' is 5.5. Input should"),
    "both forms": (GOOD | {"answer_id": 5}, "both 'answer' and 'answer_id' are given; keep one"),
    "unequal length": (
        GOOD | {"corrupted": "Then, Mary and John went to the the store. John gave a drink to"},
        "equal token length, but clean has 16 tokens and corrupted 17. They part at token 9 "
        "(counted from 0): clean [' to' ' the' ' store' '.' ' John' ' gave'], "
        "corrupted [' to' ' the' ' the' ' store' '.' ' John']",
    ),
    "a prompt that goes on": (
        GOOD | {"corrupted": GOOD["clean"] + " the"},
        "part at token 16 (counted from 0): clean [' drink' ' to'], "
        "corrupted [' drink' ' to' ' the']",
    ),
    "long answer": (
        GOOD | {"answer": " Mary John"},
        "answer ' Mary John' is 2 tokens [' Mary' ' John'], expected one",
    ),
    "answer without space": (
        GOOD | {"answer": "Mary"},
        "answer 'Mary' is not in this model's vocabulary. "
        "With a leading space, ' Mary', it is one token",
    ),
    "unknown answer": (GOOD | {"foil": " Zork"}, "foil ' Zork' is not in this model's vocabulary"),
    "empty answer": (GOOD | {"answer": ""}, "answer '' is 0 tokens"),
    "identical prompts": (GOOD | {"corrupted": GOOD["clean"]}, "are the same prompt"),
    "empty prompts": (IDS | {"clean_ids": [], "corrupted_ids": []}, "are the same prompt"),
    "answer is foil": (GOOD | {"foil": " Mary"}, "answer and foil are the same token ' Mary'"),
    "id too large": (IDS | {"answer_id": 10**30}, "'answer_id' holds 1000000"),
    "negative id": (IDS | {"clean_ids": [1, -1, 6]}, "'clean_ids' holds -1. Expected ids from 0"),
    "repeated": (GOOD, "the same pair as line 1"),
}

bad_line = pytest.mark.parametrize(("line", "sentence"), BAD_LINES.values(), ids=BAD_LINES)


@bad_line
def test_bad_line_is_named_by_number(line, sentence, word_tokenizer, write_lines):
    path = write_lines(GOOD, "", line, OTHER)
    with pytest.raises(InputError) as caught:
        read_pairs(path, word_tokenizer)
    message = str(caught.value)
    assert message.startswith(f"{path} line 3: ")
    assert sentence in message
    assert message.endswith(" (--skip-bad drops such lines.)")


@bad_line
def test_bad_line_can_be_skipped(line, sentence, word_tokenizer, write_lines):
    loaded = read_pairs(write_lines(GOOD, "", line, OTHER), word_tokenizer, skip_bad=True)
    assert [pair.clean for pair in loaded.pairs] == [GOOD["clean"], OTHER["clean"]]
    (dropped,) = loaded.dropped
    assert dropped.number == 3
    assert sentence in dropped.reason


def test_tokens_of_an_answer_without_its_space_are_shown(write_lines, bytes_tokenizer):
    with pytest.raises(InputError, match=r"2 tokens \['M' 'ary'\].*, ' Mary', it is one token"):
        read_pairs(write_lines(GOOD | {"answer": "Mary"}), bytes_tokenizer)


def test_a_line_that_is_not_utf8(word_tokenizer, write_lines):
    path = write_lines(GOOD)
    path.write_bytes(path.read_bytes() + b'{"clean": "\xff"}\n')
    with pytest.raises(InputError, match=r"line 2: not UTF-8 \(byte 12 of the line\)"):
        read_pairs(path, word_tokenizer)
    (dropped,) = read_pairs(path, word_tokenizer, skip_bad=True).dropped
    assert isinstance(dropped, BadLine)


def test_nothing_but_bad_lines(word_tokenizer, write_lines):
    with pytest.raises(InputError, match=r"no usable pair: all 2 lines are bad. Line 1: not JSON"):
        read_pairs(write_lines("x", "y"), word_tokenizer, skip_bad=True)


@pytest.mark.parametrize("lines", [(), ("", " ")])
def test_empty_file(word_tokenizer, write_lines, lines):
    with pytest.raises(InputError, match=r"is empty. Expected one JSON object a line"):
        read_pairs(write_lines(*lines), word_tokenizer)


def test_missing_file_and_folder(word_tokenizer, tmp_path):
    with pytest.raises(InputError, match=r"There is no file .*absent.jsonl"):
        read_pairs(tmp_path / "absent.jsonl", word_tokenizer)
    with pytest.raises(InputError, match=r"is a folder. Expected a file of pairs"):
        read_pairs(tmp_path, word_tokenizer)


@pytest.mark.parametrize("cut", [slice(0, 30), slice(5, None)])
def test_damaged_compressed_file(word_tokenizer, tmp_path, cut):
    path = tmp_path / "pairs.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(GOOD).encode())[cut])
    with pytest.raises(InputError, match=r"Cannot read .*pairs.jsonl.gz: .+"):
        read_pairs(path, word_tokenizer)


anything = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers(0, 9))
)
lines = st.one_of(
    st.binary(),
    st.dictionaries(st.sampled_from([*GOOD, *IDS, "x"]), anything).map(
        lambda line: json.dumps(line).encode()
    ),
    st.builds(
        lambda base, key, value: json.dumps(base | {key: value}).encode(),
        st.sampled_from([GOOD, IDS]),
        st.sampled_from([*GOOD, *IDS]),
        anything,
    ),
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=st.lists(lines, max_size=4).map(b"\n".join))
@example(content=b'{"clean": "\\ud800"}')
@example(content=json.dumps(GOOD | {"answer": "\ud800"}).encode())
def test_any_bytes_give_sound_pairs_or_a_sentence(word_tokenizer, tmp_path, content):
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(content)
    try:
        loaded = read_pairs(path, word_tokenizer, skip_bad=True)
    except InputError:
        return
    for pair in loaded.pairs:
        assert len(pair.clean_ids) == len(pair.corrupted_ids)
        assert 0 <= pair.first_change < len(pair.clean_ids)
        assert pair.answer != pair.foil
