"""The strongest places of some features, kept while a text is read."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from relp_sae.features.passages import Passage
from relp_sae.records.features import Context

WINDOW = 16
"""How many tokens a context shows on either side."""


class Strongest:
    """For each of ``features``: how often it is active, and its ``contexts`` strongest places.

    A document gives a feature one place, that of its largest |activation|; places with the same
    words are one place. What is kept does not grow with the text. The passages of a document come
    one after the other.
    """

    def __init__(self, features: int, contexts: int) -> None:
        self.tokens = 0  # that were read
        self._looked_at = 0
        self.documents = 0
        self.largest = np.zeros(features)
        self._contexts = contexts
        self._active = np.zeros(features, dtype=np.int64)
        self._found: list[dict[tuple[str, str, str], float]] = [{} for _ in range(features)]
        self._start_document()

    def add(
        self,
        passage: Passage,
        tokens: Int[np.ndarray, "token"],
        acts: Float[np.ndarray, "token features"],
    ) -> None:
        """Take in the activations at some tokens of a passage, named by their numbers in it."""
        if self._document != passage.document:
            self._end_document()
            self._document = passage.document
            self.documents += 1
        self.tokens += len(passage.ids)
        if not len(tokens):
            return
        self._looked_at += len(tokens)
        self._active += (acts != 0).sum(0)
        at = abs(acts).argmax(0)
        found = np.take_along_axis(acts, at[None], axis=0)[0]
        for feature in np.flatnonzero(abs(found) > abs(self._value)).tolist():
            self._place[feature] = (passage, int(tokens[at[feature]]))
            self._value[feature] = found[feature]

    @property
    def density(self) -> Float[np.ndarray, "features"]:
        """The share of the tokens looked at, at which each feature is active."""
        return self._active / max(1, self._looked_at)

    def contexts(self) -> list[tuple[Context, ...]]:
        """The strongest places of each feature, strongest first."""
        self._end_document()
        self._start_document()
        return [
            tuple(Context(value, *words) for words, value in _strongest_first(one))
            for one in self._found
        ]

    def _start_document(self) -> None:
        self._document: int | None = None
        self._value = np.zeros(len(self._active))
        self._place: dict[int, tuple[Passage, int]] = {}

    def _end_document(self) -> None:
        for feature, (passage, token) in self._place.items():
            value, found = float(self._value[feature]), self._found[feature]
            if abs(value) > abs(self.largest[feature]):
                self.largest[feature] = value
            if len(found) == self._contexts and abs(value) <= min(map(abs, found.values())):
                continue
            words = passage.around(token, WINDOW)
            if abs(value) > abs(found.get(words, 0.0)):
                found[words] = value
            for weakest, _ in _strongest_first(found)[self._contexts :]:
                del found[weakest]
        self._start_document()


def _strongest_first(
    found: dict[tuple[str, str, str], float],
) -> Sequence[tuple[tuple[str, str, str], float]]:
    return sorted(found.items(), key=lambda item: -abs(item[1]))
