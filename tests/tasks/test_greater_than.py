"""Greater-than on every way of writing years."""

import re

import pytest

from relp_sae.errors import InputError
from relp_sae.tasks import tasks

CUTS = {
    "GPT-2": (r" ?\d\d| ?[a-zA-Z]+", " 17", 2),
    "Llama 2": (r"\d| ?[a-zA-Z]+", " 17", 1),
    "Llama 3": (r"\d{1,3}| ?[a-zA-Z]+", " ", 3),
    "thousands": (r"\d(?=\d{3})|\d{3}| ?[a-zA-Z]+", " 1", 3),
    "whole": (r" ?\w+", "", 5),
}
"""Tokenizer -> how it cuts words, what the prompt shows of a last year, the answer's length."""


@pytest.fixture(params=CUTS, scope="module")
def kind(request, words_with):
    cut, shown, length = CUTS[request.param]
    return words_with(cut=cut), shown, length


def test_the_prompt_goes_on_to_where_answer_and_foil_part(kind):
    tokenizer, shown, length = kind
    for pair in tasks["greater-than"](tokenizer, n=60, seed=0):
        first, begun = re.fullmatch(
            r"The \w+ lasted from the year (\d{4}) to the year(.*)", pair.clean
        ).groups()
        assert begun == shown.replace("17", first[:2])
        for token, later in ((pair.answer, True), (pair.foil, False)):
            text = tokenizer.decode([token])
            assert len(text) == length
            decade = f"{begun}{text}".strip()[:3]
            assert decade[:2] == first[:2]
            assert (decade > first[:3], decade < first[:3]) == (later, not later)


def test_the_counterfactual_begins_in_the_first_year_of_the_century(kind):
    for pair in tasks["greater-than"](kind[0], n=20, seed=0):
        (clean, corrupted) = (re.search(r"\d{4}", text)[0] for text in (pair.clean, pair.corrupted))
        assert corrupted == f"{clean[:2]}01"
        assert pair.corrupted == pair.clean.replace(clean, corrupted)


def test_years_that_are_cut_elsewhere_are_left_out(words_with):
    """As in GPT-2, which has tokens for 150 and 1600 among those for 15 and 16."""
    tokenizer = words_with(cut=r" 150| 1(?:23\d|4\d\d)| ?\d\d|\d| ?[a-zA-Z]+")
    pairs = tasks["greater-than"](tokenizer, n=1000, seed=0)
    firsts = {re.search(r"\d{4}", pair.clean)[0] for pair in pairs}
    assert not [year for year in firsts if year.startswith("123")]
    assert {len(tokenizer.decode([pair.answer])) for pair in pairs} == {2, 5}
    assert all(" 14" in pair.clean for pair in pairs if len(tokenizer.decode([pair.answer])) == 5)
    assert all(" 1510 " in pair.corrupted for pair in pairs if " 15" in pair.clean)


def test_unknown_years_are_refused(words_with):
    tokenizer = words_with(others=("war",))
    with pytest.raises(InputError, match=r"needs years that are known.* ' 1745' as '<unk>', "):
        tasks["greater-than"](tokenizer, n=1, seed=0)


def test_a_tokenizer_that_sees_what_comes_next_is_refused(words_with):
    """It writes 17 otherwise when the year goes on, so no prompt can end there."""
    tokenizer = words_with(cut=r" ?1[0-7](?=\d\d)|\d| ?[a-zA-Z]+")
    with pytest.raises(InputError, match=r"' 1701' as ' 17' '0' '1', ' 1745' as ' 17' '4' '5', "):
        tasks["greater-than"](tokenizer, n=1, seed=0)
