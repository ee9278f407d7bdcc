"""Gendered pronoun, country-capital and docstring: what decides, and what changes."""

import re

import pytest

from relp_sae.errors import InputError
from relp_sae.tasks import drawing, tasks
from relp_sae.tasks.country_words import CAPITALS, FRAMES
from relp_sae.tasks.docstring_words import ARGUMENTS, FUNCTIONS, WORDS
from relp_sae.tasks.encoding import single_token
from relp_sae.tasks.gendered_pronoun import EITHER
from relp_sae.tasks.ioi_words import MEN, WOMEN


def is_token(tokenizer, token, word):
    return token == single_token(tokenizer, f" {word}")


def changes(pair):
    return sum(a != b for a, b in zip(pair.clean_ids, pair.corrupted_ids, strict=True))


def test_she_for_women_he_for_men_in_turn(tokenizer):
    for i, pair in enumerate(tasks["gendered-pronoun"](tokenizer, n=30, seed=0)):
        names = [re.match(r"So (\w+) is", text)[1] for text in (pair.clean, pair.corrupted)]
        genders, pronouns = (
            ((WOMEN, MEN), ("she", "he")) if i % 2 == 0 else ((MEN, WOMEN), ("he", "she"))
        )
        assert all(name in gender for name, gender in zip(names, genders, strict=True))
        assert not EITHER & set(names)
        assert is_token(tokenizer, pair.answer, pronouns[0])
        assert is_token(tokenizer, pair.foil, pronouns[1])
        assert pair.corrupted == pair.clean.replace(names[0], names[1])
        assert changes(pair) == 1


def test_the_foil_is_the_capital_of_the_other_country(tokenizer):
    capital_of = dict(CAPITALS)
    asked = {frame.format(country=country): country for frame in FRAMES for country in capital_of}
    for pair in tasks["country-capital"](tokenizer, n=40, seed=0):
        country, other = asked[pair.clean], asked[pair.corrupted]
        assert is_token(tokenizer, pair.answer, capital_of[country])
        assert is_token(tokenizer, pair.foil, capital_of[other])
        assert pair.corrupted == pair.clean.replace(country, other)
        assert changes(pair) == 1


def test_every_country_and_capital_stands_once():
    assert len(dict(CAPITALS)) == len({capital for _, capital in CAPITALS}) == len(CAPITALS)


def test_the_answer_is_the_third_argument_of_the_definition(tokenizer):
    for pair in tasks["docstring"](tokenizer, n=40, seed=0):
        clean, corrupted = (
            re.match(r"def \w+\(self, (\w+), (\w+), (\w+), (\w+)\):\n", text).groups()
            for text in (pair.clean, pair.corrupted)
        )
        assert clean == (*corrupted[:2], corrupted[3], corrupted[2])
        assert is_token(tokenizer, pair.answer, clean[2])
        assert is_token(tokenizer, pair.foil, corrupted[2])
        assert re.findall(r":param (\w+):", pair.clean) == [*clean[:2]]
        assert pair.clean.endswith("\n    :param")
        assert pair.clean.split("\n", 1)[1] == pair.corrupted.split("\n", 1)[1]
        assert changes(pair) == 2


def test_no_word_of_a_docstring_is_an_argument():
    lists = (FUNCTIONS, ARGUMENTS, WORDS)
    assert len({word for some in lists for word in some}) == sum(map(len, lists))


@pytest.mark.parametrize("name", ["gendered-pronoun", "country-capital", "docstring"])
def test_a_tokenizer_that_merges_words_with_what_is_around_them(name, word_tokenizer, monkeypatch):
    monkeypatch.setattr(drawing, "encode", lambda _, text: tuple(map(ord, text)))
    with pytest.raises(InputError, match=r"does not keep each of .* one token in: '"):
        tasks[name](word_tokenizer, n=1, seed=0)


@pytest.mark.parametrize(
    ("name", "needed"),
    [
        ("gendered-pronoun", "2 pronouns"),
        ("country-capital", "2 countries and their capitals"),
        ("docstring", "4 names of arguments"),
    ],
)
def test_too_few_one_token_words(name, needed, words_with):
    tokenizer = words_with(cut=r" ?\w")
    with pytest.raises(InputError, match=f"{name} needs {needed} that are one token each, but"):
        tasks[name](tokenizer, n=1, seed=0)
