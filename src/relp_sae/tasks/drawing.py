"""What tasks share: words of one token, combinations that do not repeat, and checked pairs."""

import math
import random
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from transformers import PreTrainedTokenizerBase

from relp_sae.errors import InputError
from relp_sae.records.pairs import PromptPair
from relp_sae.tasks.encoding import encode, name_of, single_token

Words = TypeVar("Words", str, tuple[str, str])

Choices = tuple[Sequence[Any], ...]
"""What a prompt is made of: one of each."""


def token_of(tokenizer: PreTrainedTokenizerBase, word: str) -> int | None:
    """The token of a word behind a space; None if it is several, or unknown."""
    return single_token(tokenizer, f" {word}")


def one_token(
    task: str, tokenizer: PreTrainedTokenizerBase, words: Sequence[Words], needed: int, what: str
) -> list[Words]:
    """Those words, or couples of words, that this tokenizer writes as one token behind a space.

    Raises:
        InputError: fewer than ``needed``.
    """

    def fits(entry: str | tuple[str, str]) -> bool:
        both = (entry,) if isinstance(entry, str) else entry
        return all(token_of(tokenizer, word) is not None for word in both)

    found = [entry for entry in words if fits(entry)]
    if len(found) < needed:
        raise InputError(
            f"{task} needs {needed} {what} that are one token each, but for the tokenizer "
            f"{name_of(tokenizer)} only {len(found)} of {len(words)} {what} are. "
            "Use a pairs file instead."
        )
    return found


def draw(task: str, rng: random.Random, n: int, choices: Choices) -> list[tuple[Any, ...]]:
    """``n`` different combinations.

    Raises:
        InputError: there are not so many.
    """
    _require_count(task, n, _count(choices))
    return _drawn(rng, n, choices)


def draw_in_turn(
    task: str, rng: random.Random, n: int, first: Choices, second: Choices
) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """``n`` different combinations, of the first kind (0) and of the second (1) in turn.

    Raises:
        InputError: there are not so many.
    """
    _require_count(task, n, 2 * min(_count(first), _count(second)))
    kinds = _drawn(rng, (n + 1) // 2, first), _drawn(rng, n // 2, second)
    return ((i % 2, kinds[i % 2][i // 2]) for i in range(n))


def paired(
    tokenizer: PreTrainedTokenizerBase,
    clean: str,
    corrupted: str,
    right: tuple[str, str],
    inside: Sequence[str],
) -> PromptPair:
    """A pair whose answer and foil are the words ``right``.

    Raises:
        InputError: the words ``inside`` are not one token each in the clean prompt, or the
            prompts differ in length.
    """
    clean_ids, corrupted_ids = encode(tokenizer, clean), encode(tokenizer, corrupted)
    answer, foil = (token_of(tokenizer, word) for word in right)
    assert answer is not None  # the task took words of one token
    assert foil is not None
    merged = [word for word in inside if token_of(tokenizer, word) not in clean_ids]
    if merged or len(clean_ids) != len(corrupted_ids):
        raise InputError(
            f"The tokenizer {name_of(tokenizer)} does not keep each of {', '.join(inside)} one "
            f"token in: '{clean}'. Use a pairs file instead."
        )
    return PromptPair(clean, corrupted, clean_ids, corrupted_ids, answer, foil)


def _count(choices: Choices) -> int:
    return math.prod(len(some) for some in choices)


def _require_count(task: str, n: int, most: int) -> None:
    if not 1 <= n <= most:
        raise InputError(f"{task} makes 1 to {most} different pairs for this tokenizer, not {n}.")


def _drawn(rng: random.Random, n: int, choices: Choices) -> list[tuple[Any, ...]]:
    sizes = [len(some) for some in choices]
    drawn = (np.unravel_index(i, sizes) for i in rng.sample(range(_count(choices)), n))
    return [tuple(some[int(at)] for some, at in zip(choices, row, strict=True)) for row in drawn]
