"""Greater-than: a war cannot end before it began.

    The war lasted from the year 1745 to the year 17  ->  "60", not "30"

The answer is a year of a later decade than the war's first year, the foil one of an earlier decade.
The counterfactual begins in the first year of the century (01): then the foil is as right as the
answer, and nothing speaks for the answer any more. (Greater-than has no counterfactual that makes
the answer wrong and the foil right: a foil before 1745 is never after a later year.)

Tokenizers write years in many ways: GPT-2 17|45, Llama 2 and most others digit by digit, Llama 3
174|5. So the prompt goes on to the point where the answer's year and the foil's part, and the two
tokens compared there both hold the decade: "60" and "30", "6" and "3", or "176" and "173".

Source: Hanna et al. 2023 (arXiv 2305.00586), sections 2 and 3.
"""

import random
from collections import defaultdict
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from relp_sae.errors import InputError
from relp_sae.records.pairs import PromptPair
from relp_sae.tasks.drawing import draw
from relp_sae.tasks.encoding import continuation, encode, name_of, pieces
from relp_sae.tasks.greater_than_words import NOUNS
from relp_sae.tasks.task import tasks

CENTURIES = range(11, 18)


@tasks.register("greater-than")
def greater_than(tokenizer: PreTrainedTokenizerBase, n: int, seed: int) -> list[PromptPair]:
    """A year later than the one given; the year given becomes the first of its century."""
    rng = random.Random(seed)
    years = {century: _years_of(tokenizer, century) for century in CENTURIES}
    starts = [year for known in years.values() for year in known if all(_around(year, known))]
    if not starts:
        raise _refusal(tokenizer)
    pairs = []
    for noun, start in draw("greater-than", rng, n, (NOUNS, starts)):
        known = years[start // 100]
        earlier, later = _around(start, known)
        end = _end(tokenizer, rng.choice(later), rng.choice(earlier))
        clean, corrupted = (
            f"The {noun} lasted from the year {year} to the year{end.shown}"
            for year in (start, known[0])
        )
        clean_ids, corrupted_ids = encode(tokenizer, clean), encode(tokenizer, corrupted)
        if len(clean_ids) != len(corrupted_ids):
            raise _refusal(tokenizer)
        pairs.append(PromptPair(clean, corrupted, clean_ids, corrupted_ids, end.answer, end.foil))
    return pairs


class End(NamedTuple):
    """What the prompt shows of the last year, and the two tokens with which it can go on."""

    shown: str
    answer: int
    foil: int


def _end(tokenizer: PreTrainedTokenizerBase, answer: int, foil: int) -> End:
    """Where the tokens of two years part.

    Raises:
        InputError: what they share is not a text with just these tokens.
    """
    text = f" {answer}"
    ids, foil_ids = continuation(tokenizer, text), continuation(tokenizer, f" {foil}")
    shared = next(i for i, (a, b) in enumerate(zip(ids, foil_ids, strict=True)) if a != b)
    for length in range(len(text)):
        if continuation(tokenizer, text[:length]) == ids[:shared]:
            return End(text[:length], ids[shared], foil_ids[shared])
    raise _refusal(tokenizer)


def _years_of(tokenizer: PreTrainedTokenizerBase, century: int) -> list[int]:
    """The years of a century whose tokens are cut where those of most are; none if any is unknown.

    A year that is cut elsewhere, as 150|9 among 15|39, has no token to compare with theirs.
    """
    cuts: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for year in range(100 * century + 1, 100 * century + 100):
        ids = continuation(tokenizer, f" {year}")
        if tokenizer.unk_token_id in ids:
            return []
        cuts[tuple(len(tokenizer.decode([token])) for token in ids)].append(year)
    return max(cuts.values(), key=len)


def _around(year: int, known: list[int]) -> tuple[list[int], list[int]]:
    """The known years of earlier decades but the first of all, and those of later decades."""
    return (
        [one for one in known[1:] if one // 10 < year // 10],
        [one for one in known[1:] if one // 10 > year // 10],
    )


def _refusal(tokenizer: PreTrainedTokenizerBase) -> InputError:
    written = (
        f"' {year}' as {pieces(tokenizer, continuation(tokenizer, f' {year}'))}"
        for year in (1701, 1745, 1760)
    )
    return InputError(
        "greater-than needs years that are known, equally long, and written token by token from "
        f"the left, but the tokenizer {name_of(tokenizer)} writes {', '.join(written)}. "
        "Use a pairs file instead."
    )
