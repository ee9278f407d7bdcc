"""Gendered pronoun: he or she?

    So Mary is a really great friend, isn't  ->  " she", not " he"

The counterfactual names somebody of the other gender, and with that the right answer changes: one
token changes. Women and men take turns.

Source: Mathwin et al. 2023, "Identifying a preliminary circuit for predicting gendered pronouns in
GPT-2 small"; the counterfactual is theirs with a name of the other gender for "that person".
"""

import random

from transformers import PreTrainedTokenizerBase

from relp_sae.records.pairs import PromptPair
from relp_sae.tasks.drawing import draw_in_turn, one_token, paired
from relp_sae.tasks.ioi_words import MEN, WOMEN
from relp_sae.tasks.task import tasks

EITHER = {"Alex", "Ashley", "Chris", "Kelly"}
"""Names that many women and many men have."""

QUALITIES = ("great", "good", "kind", "nice", "funny", "smart", "strong", "fine")

ROLES = ("friend", "teacher", "doctor", "student", "person", "writer", "singer", "neighbor")

PRONOUNS = ("she", "he")


@tasks.register("gendered-pronoun")
def gendered_pronoun(tokenizer: PreTrainedTokenizerBase, n: int, seed: int) -> list[PromptPair]:
    """The pronoun that goes with a name; the name becomes one of the other gender."""
    task = "gendered-pronoun"
    one_token(task, tokenizer, PRONOUNS, 2, "pronouns")
    names = [
        one_token(
            task, tokenizer, [name for name in some if name not in EITHER], 1, f"{whose} names"
        )
        for whose, some in (("women's", WOMEN), ("men's", MEN))
    ]
    women, men = ((QUALITIES, ROLES, some) for some in names)
    rng = random.Random(seed)
    pairs = []
    for gender, (quality, role, name) in draw_in_turn(task, rng, n, women, men):
        other = rng.choice(names[1 - gender])
        clean, corrupted = (
            f"So {one} is a really {quality} {role}, isn't" for one in (name, other)
        )
        right = (PRONOUNS[gender], PRONOUNS[1 - gender])
        pairs.append(paired(tokenizer, clean, corrupted, right, inside=(name,)))
    return pairs
