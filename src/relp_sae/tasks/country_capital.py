"""Country and capital: a fact that the model has to recall.

    The capital of France is  ->  " Paris", not " Rome"

The counterfactual names another country, whose capital is the foil: one token changes.

Source: Hanna et al. 2024 (arXiv 2403.17806), "country-capital"; the words are ours.
"""

import random

from transformers import PreTrainedTokenizerBase

from relp_sae.records.pairs import PromptPair
from relp_sae.tasks.country_words import CAPITALS, FRAMES
from relp_sae.tasks.drawing import draw, one_token, paired
from relp_sae.tasks.task import tasks


@tasks.register("country-capital")
def country_capital(tokenizer: PreTrainedTokenizerBase, n: int, seed: int) -> list[PromptPair]:
    """The capital of a country; the country becomes another one."""
    task = "country-capital"
    known = one_token(task, tokenizer, CAPITALS, 2, "countries and their capitals")
    rng = random.Random(seed)
    pairs = []
    for frame, (country, capital) in draw(task, rng, n, (FRAMES, known)):
        other, foil = rng.choice([one for one in known if one[0] != country])
        clean, corrupted = (frame.format(country=one) for one in (country, other))
        pairs.append(paired(tokenizer, clean, corrupted, (capital, foil), inside=(country,)))
    return pairs
