"""Text to ids: the BOS, and what counts as one token."""

import pytest

from relp_sae.tasks.encoding import continuation, encode, name_of, single_token


def test_prompt_has_one_bos_where_there_is_one(tokenizer):
    text = "Then, Mary and John went"
    plain = tuple(tokenizer.encode(text, add_special_tokens=False))
    bos = tokenizer.bos_token_id
    assert encode(tokenizer, text) == (plain if bos is None else (bos, *plain))


@pytest.mark.parametrize("name", ["Mary", "John", "William"])
def test_a_name_is_the_token_it_is_inside_a_prompt(tokenizer, name):
    prompt = encode(tokenizer, f"Then, Mary and {name} went")
    assert prompt[-2] == single_token(tokenizer, f" {name}")
    assert encode(tokenizer, f"Then, Mary and {name}")[-1] == prompt[-2]


def test_several_tokens_or_none_are_not_one(tokenizer):
    assert single_token(tokenizer, " Mary John") is None
    assert single_token(tokenizer, " Zsigmond") is None
    assert single_token(tokenizer, "") is None


def test_a_name_without_its_space_is_another_text(tokenizer):
    assert continuation(tokenizer, "Mary") != continuation(tokenizer, " Mary")


def test_name_in_messages(words_with):
    tokenizer = words_with()
    tokenizer.name_or_path = ""
    assert name_of(tokenizer) == type(tokenizer).__name__
    tokenizer.name_or_path = "tiny/words"
    assert name_of(tokenizer) == "tiny/words"
