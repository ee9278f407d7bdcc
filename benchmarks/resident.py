"""Resident memory of this process, sampled while something runs."""

import threading
from typing import Self

import psutil

EVERY = 0.002
"""Seconds between samples. PyTorch lets other threads run while it computes."""


def resident() -> int:
    """Bytes that this process holds in memory now."""
    return psutil.Process().memory_info().rss


class Peak:
    """The most bytes held inside the context: ``with Peak() as peak: ...; peak.bytes``."""

    def __init__(self) -> None:
        self.before = self.bytes = resident()
        self._done = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)

    def _sample(self) -> None:
        while not self._done.wait(EVERY):
            self.bytes = max(self.bytes, resident())

    def __enter__(self) -> Self:
        self._sampler.start()
        return self

    def __exit__(self, *_raised: object) -> None:
        self._done.set()
        self._sampler.join()
        self.bytes = max(self.bytes, resident())
