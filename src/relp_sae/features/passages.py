"""Documents cut into passages that the model reads, with the place of each token in the text."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count

from transformers import PreTrainedTokenizerBase

from relp_sae.errors import InputError
from relp_sae.tasks.encoding import name_of

LONGEST = 10_000
"""A document of more characters is read as several, so that a book is not one document."""


@dataclass(frozen=True)
class Passage:
    """Tokens of one document that the model reads together.

    ``text`` is the document's; ``spans`` says for each token where in it its characters are.
    """

    document: int
    text: str
    ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]

    def cut(self, length: int) -> "Passage":
        """The first ``length`` tokens."""
        return Passage(self.document, self.text, self.ids[:length], self.spans[:length])

    def around(self, token: int, window: int) -> tuple[str, str, str]:
        """The text of up to ``window`` tokens before a token, of it, and of as many after it."""
        start, end = self.spans[token]
        first = self.spans[max(0, token - window)][0]
        last = self.spans[min(len(self.spans) - 1, token + window)][1]
        return self.text[first:start], self.text[start:end], self.text[end:last]


def passages(
    documents: Iterable[str], tokenizer: PreTrainedTokenizerBase, length: int
) -> Iterator[Passage]:
    """Each document in passages of up to ``length`` tokens; no passage has two documents.

    Raises:
        InputError: the tokenizer does not say where in a text its tokens are.
    """
    if not tokenizer.is_fast:
        raise InputError(
            f"The tokenizer of {name_of(tokenizer)} does not say where in a text its tokens are. "
            "Give the model a fast tokenizer (tokenizer.json)."
        )
    numbers = count()
    for text in documents:
        for part in _parts(text):
            # Not verbose: it would warn of texts that are longer than the model reads at once.
            found = tokenizer(
                part, add_special_tokens=False, return_offsets_mapping=True, verbose=False
            )
            ids, spans, number = found["input_ids"], found["offset_mapping"], next(numbers)
            for first in range(0, len(ids), length):
                here = slice(first, first + length)
                yield Passage(number, part, tuple(ids[here]), tuple(map(tuple, spans[here])))


def first_tokens(found: Iterable[Passage], tokens: int) -> Iterator[Passage]:
    """The passages of the first ``tokens`` tokens; the last one is cut short to them."""
    for passage in found:
        if tokens <= 0:
            return
        yield passage.cut(tokens)
        tokens -= len(passage.ids)


def _parts(text: str) -> Iterator[str]:
    """The text in parts of up to ``LONGEST`` characters, cut in front of a space where it can be.

    >>> list(map(len, _parts("word " * 3000)))
    [9999, 5001]
    """
    while len(text) > LONGEST:
        space = max(text.rfind(" ", 1, LONGEST), text.rfind("\n", 1, LONGEST))
        end = space if space > 0 else LONGEST
        yield text[:end]
        text = text[end:]
    yield text
