"""Subject-verb agreement: which noun decides, and what changes."""

import re
from collections import Counter

import pytest

from relp_sae.errors import InputError
from relp_sae.tasks import tasks
from relp_sae.tasks.encoding import single_token
from relp_sae.tasks.sva_words import (
    CLAUSE_VERBS,
    DETERMINERS,
    NOUNS,
    PREPOSITIONS,
    THINGS,
    VERBS,
)


def one_of(name, words):
    return f"(?P<{name}>{'|'.join(words)})"


def forms(couples):
    return [word for couple in couples for word in couple]


SUBJECT, NOUN = one_of("subject", forms(NOUNS)), one_of("noun", forms(NOUNS))
NEAR, THING = one_of("near", PREPOSITIONS), one_of("noun", forms(THINGS))
SENTENCES = {
    "sva-simple": f"{one_of('the', DETERMINERS)} {SUBJECT}",
    "sva-rc": f"The {SUBJECT} that the {NOUN} {one_of('verb', forms(CLAUSE_VERBS))}",
    "sva-within-rc": f"The {NOUN} that the {SUBJECT}",
    "sva-nounpp": f"The {SUBJECT} {NEAR} the {THING}",
}
"""The four structures of Marks et al. (arXiv 2403.19647)."""

structures = pytest.mark.parametrize("name", SENTENCES)


def number(word, couples):
    """0 for a singular, 1 for a plural."""
    return next(couple.index(word) for couple in couples if word in couple)


@structures
def test_the_answer_agrees_with_the_subject_and_the_counterfactual_flips_it(name, tokenizer):
    verbs = CLAUSE_VERBS if name == "sva-within-rc" else VERBS
    ids = {single_token(tokenizer, f" {verb}"): verb for verb in forms(verbs)}
    seen = Counter()
    for pair in tasks[name](tokenizer, n=40, seed=0):
        clean = re.fullmatch(SENTENCES[name], pair.clean).groupdict()
        corrupted = re.fullmatch(SENTENCES[name], pair.corrupted).groupdict()
        subject, flipped = clean.pop("subject"), corrupted.pop("subject")
        assert clean == corrupted
        assert (subject, flipped) in NOUNS or (flipped, subject) in NOUNS
        assert number(ids[pair.answer], verbs) == number(subject, NOUNS)
        assert (ids[pair.answer], ids[pair.foil])[:: 1 - 2 * number(subject, NOUNS)] in verbs
        changed = [a != b for a, b in zip(pair.clean_ids, pair.corrupted_ids, strict=True)]
        assert sum(changed) == 1
        seen[number(subject, NOUNS)] += 1
    assert seen == {0: 20, 1: 20}


@pytest.mark.parametrize(
    ("name", "couples"), [("sva-rc", NOUNS), ("sva-within-rc", NOUNS), ("sva-nounpp", THINGS)]
)
def test_the_attractor_has_any_number_and_is_another_noun(name, couples, word_tokenizer):
    numbers = Counter()
    for pair in tasks[name](word_tokenizer, n=200, seed=0):
        found = re.fullmatch(SENTENCES[name], pair.clean)
        numbers[number(found["noun"], couples)] += 1
        assert {found["noun"], found["subject"]} not in [set(couple) for couple in NOUNS]
        assert found["noun"] != found["subject"]
    assert min(numbers.values()) > 70


def test_the_verb_of_a_clause_agrees_with_the_subject_of_the_clause(word_tokenizer):
    for pair in tasks["sva-rc"](word_tokenizer, n=50, seed=0):
        found = re.fullmatch(SENTENCES["sva-rc"], pair.clean)
        assert number(found["noun"], NOUNS) == number(found["verb"], CLAUSE_VERBS)


@structures
def test_words_that_are_several_tokens_are_refused(name, words_with):
    tokenizer = words_with(cut=r" ?\w")
    with pytest.raises(InputError, match=rf"{name} needs [12] nouns in both numbers that are one"):
        tasks[name](tokenizer, n=1, seed=0)
