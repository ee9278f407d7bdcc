"""Numbers and names as words. A NaN reads "undefined", and its reason goes to the notes."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from relp_sae.faithfulness.declared import BASELINES
from relp_sae.records import Interval
from relp_sae.report.blocks import Table

UNDEFINED = "undefined"

Cell = str | int | float | Interval


@dataclass(frozen=True)
class TruthWords:
    """What a truth asks, and the base of the estimates that try to answer it."""

    base: str
    asks: str


TRUTHS = {
    "denoise": TruthWords(
        "corrupted",
        "in the corrupted run, set this one unit to its clean value: how much of the behaviour "
        "comes back? (Is it sufficient on its own?)",
    ),
    "noise": TruthWords(
        "clean",
        "in the clean run, set this one unit to its corrupted value: how much of the behaviour "
        "is lost? (Is it necessary?)",
    ),
    "shapley": TruthWords(
        "both",
        "move the units from corrupted to clean in random order: what does this unit add on "
        "average? (Its fair share of the whole change.)",
    ),
}

MEASURES = {
    "pearson": "Pearson",
    "spearman": "Spearman",
    "sign": "sign agreement",
    "top-10-overlap": "top-10 overlap",
}
"""The headline measures, in the order of the columns."""


def is_baseline(name: str) -> bool:
    """Whether the estimate is a yardstick rather than a method; ``random:3`` is ``random``."""
    return name.partition(":")[0] in BASELINES


def label(name: str, base: str) -> str:
    """An estimate as shown, as ``FeatureScores.label`` has it.

    >>> label("relp", "corrupted"), label("secant", "both")
    ('relp@corrupted', 'secant')
    """
    return name if base == "both" else f"{name}@{base}"


def runs(base: str) -> str:
    """
    >>> runs("clean"), runs("both")
    ('the clean run', 'both runs')
    """
    return "both runs" if base == "both" else f"the {base} run"


def answers(base: str, truth: str) -> bool:
    """Whether estimates of ``base`` are made for ``truth``: they look at it from the same run."""
    natural = TRUTHS[truth].base if truth in TRUTHS else "both"
    return base == natural or "both" in (base, natural)


def measure_words(measure: str) -> str:
    """The measure's name as shown."""
    return MEASURES.get(measure, measure.replace("-", " "))


def number(value: float, digits: int = 3) -> str:
    """``value`` with that many decimals, never ``-0.000``.

    >>> number(-0.00004), number(float("nan"))
    ('0.000', 'undefined')
    """
    return UNDEFINED if math.isnan(value) else f"{value:z.{digits}f}"


def interval(value: Interval, digits: int = 3) -> str:
    """
    >>> interval(Interval(0.5, 0.25, 0.75), digits=2)
    '0.50 [0.25, 0.75]'
    >>> interval(Interval(0.5, float("nan"), float("nan"), "one pair has no interval"))
    '0.500 [undefined]'
    """
    if math.isnan(value.value):
        return UNDEFINED
    low, high = number(value.low, digits), number(value.high, digits)
    ends = UNDEFINED if UNDEFINED in (low, high) else f"{low}, {high}"
    return f"{number(value.value, digits)} [{ends}]"


def p_value(p: float) -> str:
    """
    >>> p_value(0.0312), p_value(0.0001), p_value(float("nan"))
    ('0.031', '<0.001', 'undefined')
    """
    return "<0.001" if p < 0.001 else number(p)


def percent(share: float) -> str:
    """
    >>> percent(0.984)
    '98 %'
    """
    return UNDEFINED if math.isnan(share) else f"{share:.0%}".replace("%", " %")


def listed(words: Sequence[str]) -> str:
    """
    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def table(
    caption: str,
    header: Iterable[str],
    rows: Iterable[Iterable[Cell]],
    labels: int = 1,
) -> Table:
    """A table of any cells; what an interval has to say of itself becomes a numbered note."""
    notes: list[str] = []
    shown = tuple(tuple(_cell(cell, notes) for cell in row) for row in rows)
    numbered = tuple(f"{_mark(i)} {note}" for i, note in enumerate(notes, 1))
    return Table(caption, tuple(header), shown, numbered, labels)


def _cell(cell: Cell, notes: list[str]) -> str:
    if isinstance(cell, float):
        return number(cell)
    if not isinstance(cell, Interval):
        return str(cell)
    if cell.note and cell.note not in notes:
        notes.append(cell.note)
    return interval(cell) + (_mark(notes.index(cell.note) + 1) if cell.note else "")


def _mark(i: int) -> str:
    return str(i).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
