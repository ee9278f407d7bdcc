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
from collections.abc import Callable, Sequence
from itertools import permutations
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from relp_sae.records.pairs import PromptPair
from relp_sae.tasks.drawing import draw_in_turn, one_token, paired
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
    known = one_token("IOI", tokenizer, NAMES, NAMES_NEEDED, "names")
    choices = (TEMPLATES, PLACES, THINGS, list(permutations(known, 2)))
    rng = random.Random(seed)
    pairs = []
    for baba, (template, place, thing, (first, second)) in draw_in_turn(
        "IOI", rng, n, choices, choices
    ):
        names = Mentions(first, second, giver=first if baba else second)
        unrelated = rng.sample([name for name in known if name not in names], 3)
        other = counterfactual(names, unrelated)
        clean, corrupted = (
            template.format(place=place, thing=thing, **mentions._asdict())
            for mentions in (names, other)
        )
        right = (names.receiver, names.giver)
        pairs.append(paired(tokenizer, clean, corrupted, right, inside=right))
    return pairs
