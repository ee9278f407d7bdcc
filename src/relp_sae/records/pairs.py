"""Prompt pairs: what a task makes and everything else reads."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PromptPair:
    """A clean and a corrupted prompt of equal token length, and the two tokens compared.

    Token ids include the begin-of-sequence token where the model has one. ``answer`` and ``foil``
    are token ids; the answer is the right continuation of the *clean* prompt.
    """

    clean: str
    corrupted: str
    clean_ids: tuple[int, ...]
    corrupted_ids: tuple[int, ...]
    answer: int
    foil: int

    @property
    def first_change(self) -> int:
        """The first position whose token differs; every unit before it is a structural zero."""
        changed = (a != b for a, b in zip(self.clean_ids, self.corrupted_ids, strict=True))
        return next(i for i, differs in enumerate(changed) if differs)


@dataclass(frozen=True)
class MeasuredPair:
    """A prompt pair with the metric of both runs, and whether the analysis uses it.

    ``clean_metric`` and ``corrupted_metric`` are in the metric's unit; ``dropped`` is empty for a
    kept pair and otherwise says why the pair is left out.
    """

    pair: PromptPair
    clean_metric: float
    corrupted_metric: float
    dropped: str = ""
