"""A room's open list: one file registers one entry, and a wrong name gets a suggestion.

>>> fruits = Registry("fruit")
>>> @fruits.register("apple")
... def apple(): return "crisp"
>>> fruits["apple"]()
'crisp'
>>> fruits["aple"]
Traceback (most recent call last):
relp_sae.errors.InputError: Unknown fruit 'aple'. Did you mean 'apple'? Known: apple.
"""

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from relp_sae.errors import InputError

T = TypeVar("T")
E = TypeVar("E")


def suggestion(name: str, known: Iterable[str]) -> str:
    """``Did you mean '...'? `` for a name close to a known one, otherwise nothing."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"Did you mean '{close[0]}'? " if close else ""


class Registry(Mapping[str, T]):
    """Names of one kind of thing, in the order of registration.

    ``package`` is the room whose modules hold the entries; they are imported at the first look-up,
    so that a new entry is one new file and nothing else.
    """

    def __init__(self, kind: str, package: str | None = None) -> None:
        self.kind = kind
        self._package = package
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[E], E]:
        """Decorator (or plain call) that enters its argument under ``name``.

        Raises:
            ValueError: the name is taken; two entries of one name would hide each other.
        """

        def enter(entry: E) -> E:
            if name in self._entries:
                raise ValueError(f"{self.kind} '{name}' is registered twice")
            self._entries[name] = entry  # pyright: ignore[reportArgumentType]
            return entry

        return enter

    def _discover(self) -> dict[str, T]:
        if self._package is not None:
            package = importlib.import_module(self._package)
            for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
                importlib.import_module(module.name)
            self._package = None  # only now: a room that fails to import fails every look-up
        return self._entries

    def __getitem__(self, name: str) -> T:
        entries = self._discover()
        if name in entries:
            return entries[name]
        hint = suggestion(name, entries)
        raise InputError(f"Unknown {self.kind} '{name}'. {hint}Known: {', '.join(entries)}.")

    def __contains__(self, name: object) -> bool:
        return name in self._discover()

    def __iter__(self) -> Iterator[str]:
        return iter(self._discover())

    def __len__(self) -> int:
        return len(self._discover())
