"""What every registered task owes to the rest of the package."""

import inspect
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relp_sae.errors import InputError
from relp_sae.tasks import tasks
from relp_sae.tasks.encoding import encode, single_token

pytestmark = pytest.mark.parametrize("name", tasks)


def test_pairs_are_well_formed(name, tokenizer):
    pairs = tasks[name](tokenizer, n=40, seed=0)
    assert len(pairs) == 40
    for pair in pairs:
        assert len(pair.clean_ids) == len(pair.corrupted_ids)
        assert pair.clean_ids == encode(tokenizer, pair.clean)
        assert pair.corrupted_ids == encode(tokenizer, pair.corrupted)
        assert pair.first_change > 0
        assert pair.answer != pair.foil


def test_answer_and_foil_are_the_next_token_of_some_text(name, tokenizer):
    for pair in tasks[name](tokenizer, n=10, seed=0):
        for token in (pair.answer, pair.foil):
            text = tokenizer.decode([token]).strip()
            assert token in (single_token(tokenizer, f" {text}"), single_token(tokenizer, text))


def test_prompts_begin_with_bos_where_there_is_one(name, tokenizer):
    (pair,) = tasks[name](tokenizer, n=1, seed=0)
    if tokenizer.bos_token_id is not None:
        assert pair.clean_ids[0] == pair.corrupted_ids[0] == tokenizer.bos_token_id
    assert tokenizer.bos_token_id not in (*pair.clean_ids[1:], *pair.corrupted_ids[1:])


def test_seed_decides(name, word_tokenizer):
    make = tasks[name]
    assert make(word_tokenizer, n=20, seed=3) == make(word_tokenizer, n=20, seed=3)
    assert make(word_tokenizer, n=20, seed=3) != make(word_tokenizer, n=20, seed=4)


@settings(max_examples=6, deadline=None)
@given(n=st.integers(1, 200), seed=st.integers(0, 2**32 - 1))
def test_asked_for_n_gets_n_different_pairs(name, word_tokenizer, n, seed):
    pairs = tasks[name](word_tokenizer, n=n, seed=seed)
    assert len({pair.clean for pair in pairs}) == len(set(pairs)) == n


@pytest.mark.parametrize("n", [0, -1])
def test_no_pairs_cannot_be_asked_for(name, word_tokenizer, n):
    with pytest.raises(InputError, match=f"not {n}"):
        tasks[name](word_tokenizer, n=n, seed=0)


def test_a_task_says_in_a_sentence_what_it_asks_and_where_it_is_from(name):
    made = tasks[name]
    first = inspect.getdoc(made).splitlines()[0]
    assert first.endswith(".")
    assert re.search(r"Source: .*\b20\d\d\b", inspect.getmodule(made).__doc__)


def test_more_than_there_are_names_the_maximum(name, word_tokenizer):
    with pytest.raises(InputError, match=r"1 to \d+ different pairs.*not 1000000000000"):
        tasks[name](word_tokenizer, n=10**12, seed=0)
