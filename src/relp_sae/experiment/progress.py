"""How work is shown while it is done."""

from collections.abc import Callable, Iterable, Sequence

Progress = Callable[[str, Sequence[int]], Iterable[int]]
"""(what is being done, indices of pairs) -> the same indices, shown to the user as they pass."""


def silent(_what: str, pairs: Sequence[int]) -> Iterable[int]:
    """Progress that shows nothing."""
    return pairs
