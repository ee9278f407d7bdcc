"""What a report is made of. Text marks code as `code` and weight as **weight**, nothing else."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Table:
    """Cells ready to be shown; the first ``labels`` columns are words, the others are numbers."""

    kind: ClassVar[str] = "table"
    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    labels: int = 1


@dataclass(frozen=True)
class Picture:
    """A figure by its file name in ``figures/``, without suffix."""

    kind: ClassVar[str] = "picture"
    name: str
    caption: str


@dataclass(frozen=True)
class Code:
    """Lines to copy."""

    kind: ClassVar[str] = "code"
    text: str


@dataclass(frozen=True)
class Quote:
    """A place in somebody's text, with the part of it that is meant and a remark on it."""

    before: str
    marked: str
    after: str
    remark: str


@dataclass(frozen=True)
class Card:
    """One thing under its name: lines about it, rows of tokens, and places in text.

    Tokens and quotes come from anywhere: nothing in them is markup.
    """

    kind: ClassVar[str] = "card"
    name: str
    lines: tuple[str, ...]
    tokens: tuple[tuple[str, tuple[str, ...]], ...]
    quotes: tuple[Quote, ...]


Block = str | Table | Picture | Code | Card
"""What stands below a heading; a plain ``str`` is a paragraph."""


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it.

    ``folded`` sections are reference material: the page shows them closed.
    """

    title: str
    blocks: tuple[Block, ...]
    folded: bool = False
