"""Subject-verb agreement (SVA): does the verb take the number of its subject?

    The athletes that the manager likes  ->  " are", not " is"

The answer is the verb form that agrees with the subject, the foil is the other form. The
counterfactual changes the number of the subject and nothing else, and with it the right answer:
one token changes. Singular and plural subjects take turns; any other noun, the attractor, has its
number by chance. `sva-within-rc` asks for the verb *of* the clause, whose subject stands in it.

Source: Marks et al. 2024 (arXiv 2403.19647), after Finlayson et al. 2021 (arXiv 2106.06087), whose
four structures these are; the words are ours.
"""

import random
from collections.abc import Callable, Sequence
from itertools import permutations
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from relp_sae.records.pairs import PromptPair
from relp_sae.tasks.drawing import draw_in_turn, one_token, paired
from relp_sae.tasks.sva_words import (
    CLAUSE_VERBS,
    DETERMINERS,
    NOUNS,
    PREPOSITIONS,
    THINGS,
    VERBS,
)
from relp_sae.tasks.task import tasks

Forms = tuple[str, str]
"""A noun or a verb in the singular (0) and in the plural (1)."""

NUMBERS = (0, 1)


class Structure(NamedTuple):
    """One kind of sentence: ``people`` nouns, the subject first, and one of each of ``rest``.

    ``write(subject, attractor, *rest)`` is the prompt up to the verb, which is one of ``verbs``.
    """

    task: str
    people: int
    rest: tuple[Sequence[object], ...]
    write: Callable[..., str]
    verbs: tuple[Forms, ...] = VERBS


SIMPLE = Structure("sva-simple", 1, (DETERMINERS,), lambda subject, the: f"{the} {subject}")

ACROSS_CLAUSE = Structure(
    "sva-rc",
    2,
    (NUMBERS, CLAUSE_VERBS),
    lambda subject, noun, number, verb: f"The {subject} that the {noun[number]} {verb[number]}",
)

WITHIN_CLAUSE = Structure(
    "sva-within-rc",
    2,
    (NUMBERS,),
    lambda subject, noun, number: f"The {noun[number]} that the {subject}",
    CLAUSE_VERBS,
)

ACROSS_PHRASE = Structure(
    "sva-nounpp",
    1,
    (PREPOSITIONS, THINGS, NUMBERS),
    lambda subject, near, thing, number: f"The {subject} {near} the {thing[number]}",
)


@tasks.register("sva-simple")
def sva_simple(tokenizer: PreTrainedTokenizerBase, n: int, seed: int) -> list[PromptPair]:
    """The verb right behind its subject; the subject's number changes."""
    return _pairs(tokenizer, n, seed, SIMPLE)


@tasks.register("sva-rc")
def sva_rc(tokenizer: PreTrainedTokenizerBase, n: int, seed: int) -> list[PromptPair]:
    """The verb behind a relative clause about its subject; the subject's number changes."""
    return _pairs(tokenizer, n, seed, ACROSS_CLAUSE)


@tasks.register("sva-within-rc")
def sva_within_rc(tokenizer: PreTrainedTokenizerBase, n: int, seed: int) -> list[PromptPair]:
    """The verb inside a relative clause; the number of the clause's own subject changes."""
    return _pairs(tokenizer, n, seed, WITHIN_CLAUSE)


@tasks.register("sva-nounpp")
def sva_nounpp(tokenizer: PreTrainedTokenizerBase, n: int, seed: int) -> list[PromptPair]:
    """The verb behind a prepositional phrase about its subject; the subject's number changes."""
    return _pairs(tokenizer, n, seed, ACROSS_PHRASE)


def _pairs(
    tokenizer: PreTrainedTokenizerBase, n: int, seed: int, structure: Structure
) -> list[PromptPair]:
    task, people, rest, write, verbs = structure
    nouns = one_token(task, tokenizer, NOUNS, people, "nouns in both numbers")
    known = one_token(task, tokenizer, verbs, 1, "verbs in both numbers")
    choices = (list(permutations(nouns, people)), *rest)
    rng = random.Random(seed)
    pairs = []
    for number, ((subject, *others), *chosen) in draw_in_turn(task, rng, n, choices, choices):
        verb = rng.choice(known)
        clean, corrupted = (write(subject[one], *others, *chosen) for one in (number, 1 - number))
        right = (verb[number], verb[1 - number])
        pairs.append(paired(tokenizer, clean, corrupted, right, inside=(subject[number],)))
    return pairs
