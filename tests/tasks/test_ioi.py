"""Indirect object identification: who is named where, in both prompts."""

from collections import Counter
from functools import cache

import pytest

from relp_sae.errors import InputError
from relp_sae.tasks import drawing, ioi, tasks
from relp_sae.tasks.encoding import single_token
from relp_sae.tasks.ioi_words import NAMES, PLACES, TEMPLATES, THINGS

VARIANTS = ["ioi", "ioi-abc", "ioi-order"]


def changed(pair):
    """The positions where the prompts differ."""
    return [
        i for i, (a, b) in enumerate(zip(pair.clean_ids, pair.corrupted_ids, strict=True)) if a != b
    ]


@cache
def name_tokens(tokenizer):
    return {single_token(tokenizer, f" {name}") for name in NAMES}


def mentions(tokenizer, ids):
    """The name tokens of a prompt, in order."""
    return [token for token in ids if token in name_tokens(tokenizer)]


@pytest.mark.parametrize("variant", VARIANTS)
def test_clean_prompts_name_the_answer_once_and_the_foil_twice(variant, tokenizer):
    for pair in tasks[variant](tokenizer, n=30, seed=0):
        first, second, giver = mentions(tokenizer, pair.clean_ids)
        assert {first, second} == {pair.answer, pair.foil}
        assert giver == pair.foil


@pytest.mark.parametrize(("variant", "count"), [("ioi", 1), ("ioi-abc", 3), ("ioi-order", 2)])
def test_only_the_names_in_question_change(variant, count, tokenizer):
    for pair in tasks[variant](tokenizer, n=30, seed=0):
        names = mentions(tokenizer, pair.clean_ids), mentions(tokenizer, pair.corrupted_ids)
        assert len(changed(pair)) == sum(a != b for a, b in zip(*names, strict=True)) == count


def test_the_flip_makes_the_foil_right(tokenizer):
    for pair in tasks["ioi"](tokenizer, n=30, seed=0):
        *_, giver = mentions(tokenizer, pair.corrupted_ids)
        assert giver == pair.answer
        assert changed(pair) == [pair.first_change]
        assert pair.clean_ids[pair.first_change] == pair.foil


def test_abc_names_nobody_of_the_clean_prompt(tokenizer):
    for pair in tasks["ioi-abc"](tokenizer, n=30, seed=0):
        names = mentions(tokenizer, pair.corrupted_ids)
        assert len(set(names)) == 3
        assert not {pair.answer, pair.foil} & set(names)


def test_order_swaps_the_first_two_and_keeps_the_giver(tokenizer):
    for pair in tasks["ioi-order"](tokenizer, n=30, seed=0):
        first, second, giver = mentions(tokenizer, pair.clean_ids)
        assert mentions(tokenizer, pair.corrupted_ids) == [second, first, giver]


@pytest.mark.parametrize("n", [1, 2, 7, 50])
def test_abba_and_baba_are_balanced(word_tokenizer, n):
    pairs = tasks["ioi"](word_tokenizer, n=n, seed=0)
    abba = sum(mentions(word_tokenizer, p.clean_ids)[0] == p.answer for p in pairs)
    assert abba == (n + 1) // 2


def test_every_variant_has_the_same_clean_prompts(word_tokenizer):
    flip, abc, order = ([p.clean for p in tasks[v](word_tokenizer, n=30, seed=5)] for v in VARIANTS)
    assert flip == abc == order


def test_all_words_are_used_evenly(word_tokenizer):
    pairs = tasks["ioi"](word_tokenizer, n=3000, seed=0)
    answers = Counter(p.answer for p in pairs)
    assert len(answers) == len(NAMES)
    assert max(answers.values()) < 3 * 3000 / len(NAMES)
    for word in (*PLACES, *THINGS):
        share = sum(f" {word}" in p.clean for p in pairs) / 3000
        assert share == pytest.approx(1 / 8, abs=0.03)


def test_it_can_make_every_pair_it_promises(words_with, monkeypatch):
    for words in ("TEMPLATES", "PLACES", "THINGS"):
        monkeypatch.setattr(ioi, words, getattr(ioi, words)[:2])
    tokenizer = words_with(NAMES[:5])
    maximum = 2 * 2 * 2 * 2 * 5 * 4
    pairs = tasks["ioi"](tokenizer, n=maximum, seed=0)
    assert len({pair.clean for pair in pairs}) == maximum
    with pytest.raises(InputError, match=f"1 to {maximum} different pairs"):
        tasks["ioi"](tokenizer, n=maximum + 1, seed=0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_only_one_token_names_are_used(variant, words_with):
    tokenizer = words_with(NAMES[10:20])
    text = " ".join(p.clean + p.corrupted for p in tasks[variant](tokenizer, n=200, seed=0))
    assert {name for name in NAMES if f" {name} " in text} == set(NAMES[10:20])


@pytest.mark.parametrize("variant", VARIANTS)
def test_too_few_one_token_names(variant, words_with):
    tokenizer = words_with(NAMES[:4])
    tokenizer.name_or_path = "tiny/words"
    with pytest.raises(InputError, match=r"5 names .*tiny/words only 4 of 136 names"):
        tasks[variant](tokenizer, n=1, seed=0)


def test_a_tokenizer_that_merges_names_with_their_surroundings(word_tokenizer, monkeypatch):
    monkeypatch.setattr(drawing, "encode", lambda _, text: tuple(map(ord, text)))
    with pytest.raises(InputError, match=r"does not keep each of \w+, \w+ one token in: '"):
        tasks["ioi"](word_tokenizer, n=5, seed=0)


def test_the_words_fit_together():
    assert len(TEMPLATES) >= 12
    assert len(set(NAMES)) == len(NAMES) >= 100
    assert all(thing[0] not in "aeiou" for thing in THINGS)
    for template in TEMPLATES:
        assert template.endswith(" to")
        for slot in ("{first}", "{second}", "{giver}", "{place}"):
            assert f" {slot}" in template
        assert " a {thing}" in template
