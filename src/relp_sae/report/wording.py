"""Numbers and names as words. A NaN reads "undefined", and its reason goes to the notes."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from relp_sae.faithfulness import measures
from relp_sae.faithfulness.declared import BASELINES
from relp_sae.records import EVERYWHERE, Interval
from relp_sae.report.blocks import Table

UNDEFINED = "undefined"

Cell = str | int | float | Interval


ASKS = {
    "denoise": "in the corrupted run, set this one unit to its clean value: how much of the "
    "behaviour comes back? (Is it sufficient on its own?)",
    "noise": "in the clean run, set this one unit to its corrupted value: how much of the "
    "behaviour is lost? (Is it necessary?)",
    "shapley": "move the units of a site from corrupted to clean in random order: what does this "
    "unit add on average? (Its fair share of the whole change.)",
}
"""What a truth asks."""

ERROR_TERMS = {
    "pass-through": "follow x, so that the pass is the model's own",
    "frozen": "stay those of the run that is patched, so that effects reach those sites through "
    "features only; in estimates they are constants",
}
"""What a choice for the error terms of later SAEs does."""


@dataclass(frozen=True)
class UnitWords:
    """How the units of a run are called, and the measures of the headline, in their order."""

    one: str
    many: str
    kind: str
    measures: tuple[str, ...]


UNITS = {
    "features": UnitWords(
        "feature", "features", "SAE features", ("pearson", "spearman", "sign", "top-10-overlap")
    ),
    "nodes": UnitWords(
        "whole node", "whole nodes", "whole nodes", ("pearson", "slope", "spearman", "sign")
    ),
}

THEMES = {
    "pattern": ("pearson", "spearman", "kendall-tau-b", "sign"),
    "size": ("slope", "r2", "lin-concordance", "pearson-asinh"),
    "the strongest units": ("top-10-overlap", "verified-recall-cost"),
    "without the strongest units, and per unit of step": (
        "pearson-without-top-1",
        "pearson-without-top-2",
        "pearson-without-top-5",
        "pearson-without-top-10",
        "pearson-per-step",
    ),
}
"""The measures as the detail tables group them; those of no group stand in one of their own."""

_SEEN = {"\n": "↵", "\r": "", "\t": "⇥", "\u00a0": " "}
"""What stands for a character that does not show."""

UNSCALED = ("delta-norm", "random")
"""Baselines that are not in the metric's unit: their size says nothing."""


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


def measure_words(measure: str) -> str:
    """The measure's name as shown.

    >>> measure_words("kendall-tau-b"), measure_words("no-longer-there")
    ('Kendall tau-b', 'no longer there')
    """
    return measures[measure].shown if measure in measures else measure.replace("-", " ")


def has_size(estimate: str, measure: str) -> bool:
    """Whether the measure can be read of that estimate: size needs scores in the metric's unit.

    >>> has_size("relp", "slope"), has_size("random", "slope"), has_size("random", "pearson")
    (True, False, True)
    """
    sees_size = measure in measures and measures[measure].sees_size
    return not (sees_size and estimate.partition(":")[0] in UNSCALED)


def place(part: str) -> str:
    """Where, behind what was found; nothing for the whole run.

    >>> place("resid_pre"), place(EVERYWHERE)
    (' at resid_pre', '')
    """
    return "" if part == EVERYWHERE else f" at {part}"


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


def relative(gap: float) -> str:
    """A relative gap: percent where that can be read, a power of ten below.

    >>> relative(0.0213), relative(1.2), relative(3.1e-7), relative(0.0)
    ('2.1 %', '120.0 %', '3e-07', '0')
    """
    if math.isnan(gap):
        return UNDEFINED
    if gap == 0:
        return "0"
    return f"{gap:.0e}" if gap < 0.0005 else f"{gap:.1%}".replace("%", " %")


def listed(words: Sequence[str]) -> str:
    """
    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def visible(text: str) -> str:
    """Text in one line, in which nothing is hidden or does anything to a terminal or a page.

    >>> visible("a\\n\\tb\\x1b[1m")
    'a↵⇥b�[1m'
    """
    return "".join(_SEEN.get(c, c if c.isprintable() else "�") for c in text)


def table(
    caption: str,
    header: Iterable[str],
    rows: Iterable[Iterable[Cell]],
    labels: int = 1,
    digits: int = 3,
) -> Table:
    """A table of any cells; what an interval has to say of itself becomes a numbered note."""
    notes: list[str] = []
    shown = tuple(tuple(_cell(cell, notes, digits) for cell in row) for row in rows)
    numbered = tuple(f"{_mark(i)} {note}" for i, note in enumerate(notes, 1))
    return Table(caption, tuple(header), shown, numbered, labels)


def _cell(cell: Cell, notes: list[str], digits: int) -> str:
    if isinstance(cell, float):
        return number(cell, digits)
    if not isinstance(cell, Interval):
        return str(cell)
    if cell.note and cell.note not in notes:
        notes.append(cell.note)
    return interval(cell, digits) + (_mark(notes.index(cell.note) + 1) if cell.note else "")


def _mark(i: int) -> str:
    return str(i).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
