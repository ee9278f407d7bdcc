"""Indirect object identification (IOI): who receives the thing?

    Then, Mary and John went to the store. John gave a drink to  ->  " Mary"

Two names, then one of them again as the giver (the subject, S; its second mention is S2). The
answer is the other name (the indirect object, IO), the foil is the subject. In half of the
prompts IO comes first (ABBA, as above), in the other half S (BABA). A counterfactual changes names
only, and names are single tokens, so both prompts have the same length. One seed gives the same
clean prompts under every counterfactual.

Source: Wang et al. 2022 (arXiv 2211.00593), section 2; sentences in the style of theirs.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import permutations
from typing import NamedTuple

import numpy as np
from transformers import PreTrainedTokenizerBase

from relp_sae.errors import InputError
from relp_sae.records.pairs import PromptPair
from relp_sae.tasks.encoding import encode, name_of, single_token
from relp_sae.tasks.ioi_words import NAMES, PLACES, TEMPLATES, THINGS
from relp_sae.tasks.task import tasks

NAMES_NEEDED = 5
"""Two for the sentence, three more for the `ioi-abc` counterfactual."""


class Mentions(NamedTuple):
    """The names of a sentence as they appear."""

    first: str
    second: str
    giver: str

    @property
    def receiver(self) -> str:
        """The one of the first two who does not give."""
        return self.second if self.giver == self.first else self.first


Frame = Callable[..., str]
"""A sentence that lacks only its names."""

Counterfactual = Callable[[Mentions, Sequence[str]], Mentions]
"""Other names for the same sentence; the second argument holds three names not in it."""


@tasks.register("ioi")
def ioi(tokenizer: PreTrainedTokenizerBase, n: int, seed: int) -> list[PromptPair]:
    """The giver becomes the other one (S2 flipped), and with it the right answer.

    Everything before S2 is identical, so its units are structural zeros.
    """
    return _pairs(tokenizer, n, seed, lambda names, _: names._replace(giver=names.receiver))


@tasks.register("ioi-abc")
def ioi_abc(tokenizer: PreTrainedTokenizerBase, n: int, seed: int) -> list[PromptPair]:
    """Three unrelated names, so that no name is told from another (p_ABC of Wang et al.)."""
    return _pairs(tokenizer, n, seed, lambda _, unrelated: Mentions(*unrelated))


@tasks.register("ioi-order")
def ioi_order(tokenizer: PreTrainedTokenizerBase, n: int, seed: int) -> list[PromptPair]:
    """The first two names change places (ABBA <-> BABA); giver and right answer stay."""
    return _pairs(
        tokenizer, n, seed, lambda names, _: Mentions(names.second, names.first, names.giver)
    )


def _pairs(
    tokenizer: PreTrainedTokenizerBase, n: int, seed: int, counterfactual: Counterfactual
) -> list[PromptPair]:
    tokens = _one_token_names(tokenizer)
    rng = random.Random(seed)
    pairs = []
    for frame, names in _sentences(list(tokens), n, rng):
        unrelated = rng.sample([name for name in tokens if name not in names], 3)
        clean = frame(**names._asdict())
        corrupted = frame(**counterfactual(names, unrelated)._asdict())
        clean_ids, corrupted_ids = encode(tokenizer, clean), encode(tokenizer, corrupted)
        answer, foil = tokens[names.receiver], tokens[names.giver]
        if len(clean_ids) != len(corrupted_ids) or not {answer, foil} <= set(clean_ids):
            raise InputError(
                f"The tokenizer {name_of(tokenizer)} does not keep each name one token in: "
                f"'{clean}'. Use a pairs file instead."
            )
        pairs.append(PromptPair(clean, corrupted, clean_ids, corrupted_ids, answer, foil))
    return pairs


def _one_token_names(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    """The names that this tokenizer writes as one token behind a space, with that token."""
    found = ((name, single_token(tokenizer, f" {name}")) for name in NAMES)
    tokens = {name: token for name, token in found if token is not None}
    if len(tokens) < NAMES_NEEDED:
        raise InputError(
            f"IOI needs {NAMES_NEEDED} names that are one token each, but for the tokenizer "
            f"{name_of(tokenizer)} only {len(tokens)} of {len(NAMES)} names are. "
            "Use a pairs file instead."
        )
    return tokens


def _sentences(
    names: Sequence[str], n: int, rng: random.Random
) -> Iterator[tuple[Frame, Mentions]]:
    """``n`` different sentences, ABBA and BABA in turn."""
    couples = list(permutations(names, 2))
    sizes = (len(TEMPLATES), len(PLACES), len(THINGS), len(couples))
    per_order = int(np.prod(sizes))
    if not 1 <= n <= 2 * per_order:
        raise InputError(
            f"IOI makes 1 to {2 * per_order} different pairs for this tokenizer, not {n}."
        )
    abba, baba = rng.sample(range(per_order), (n + 1) // 2), rng.sample(range(per_order), n // 2)
    for i in range(n):
        template, place, thing, couple = np.unravel_index((baba if i % 2 else abba)[i // 2], sizes)
        first, second = couples[couple]
        frame = partial(TEMPLATES[template].format, place=PLACES[place], thing=THINGS[thing])
        yield frame, Mentions(first, second, giver=first if i % 2 else second)
