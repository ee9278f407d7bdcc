"""Values that can be made again: the last ones are kept, the others are not."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

V = TypeVar("V")


class Recent(Generic[V]):
    """The values of ``make`` that were asked for last, up to ``limit`` bytes.

    One that was dropped is made again. That of the last request stays whatever its size, so at
    most ``max(limit, size of one value)`` bytes are held; while a value is made, it comes on top.
    """

    def __init__(self, make: Callable[[int], V], size: Callable[[V], int], limit: int) -> None:
        self._make, self._size, self._limit = make, size, limit
        self._kept: OrderedDict[int, V] = OrderedDict()
        self.held = 0  # bytes

    def __getitem__(self, key: int) -> V:
        if key in self._kept:
            self._kept.move_to_end(key)
        else:
            self._kept[key] = self._make(key)
            self.held += self._size(self._kept[key])
            while self.held > self._limit and len(self._kept) > 1:
                self.held -= self._size(self._kept.popitem(last=False)[1])
        return self._kept[key]
