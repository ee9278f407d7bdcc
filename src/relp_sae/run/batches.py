"""Which pairs are run together."""

from collections.abc import Sequence

from relp_sae.records import PromptPair

BATCH_PAIRS = 8
"""The most pairs in one batch: a pass over so many short prompts is no longer bound by reading
the weights."""

BATCH_TOKENS = 1024
"""The most tokens in one batch, both prompts counted; a longer pair is a batch of its own."""


def batches(pairs: Sequence[PromptPair], window: int) -> list[list[int]]:
    """Indices of pairs of equal length, in batches; every pair is in one.

    The members of a batch are less than ``window`` tokens apart in the order of the pairs, so that
    who goes through the pairs in order needs few batches at a time.
    """
    found = []
    for near in _windows([2 * len(pair.clean_ids) for pair in pairs], window):
        by_length: dict[int, list[int]] = {}
        for index in near:
            by_length.setdefault(len(pairs[index].clean_ids), []).append(index)
        for length, alike in by_length.items():
            most = min(BATCH_PAIRS, max(1, BATCH_TOKENS // (2 * length)))
            found += [alike[at : at + most] for at in range(0, len(alike), most)]
    return found


def _windows(sizes: Sequence[int], limit: int) -> list[list[int]]:
    """Neighbours whose sizes sum to ``limit`` at most, or one alone that is larger."""
    windows: list[list[int]] = []
    held = 0
    for index, size in enumerate(sizes):
        if not windows or held + size > limit:
            windows.append([])
            held = 0
        windows[-1].append(index)
        held += size
    return windows
