"""The regime map in words and tables: which method agrees best, and where."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from relp_sae.records import Interval, RegimePoint
from relp_sae.report.blocks import Picture, Section, Table
from relp_sae.report.contents import Records, some_of
from relp_sae.report.wording import Cell, is_baseline, label, listed, number, table

ABSENT = "-"

SITE = "site"
"""The axis whose levels are the sites of the run."""

LAYER_OF = "layer of "
"""How the axes begin that take its place where the sites are of several kinds."""

MOST_LEVELS = 8
"""Of more levels the table is folded away, the terminal shows some, and a sentence counts."""


def regimes_section(records: Records, pictures: Sequence[Picture]) -> list[Section]:
    """The map, its sentences and its tables; nothing where there is none."""
    found = map_points(records)
    if not found:
        return []
    truth = found[0].truth
    text = (
        f"Pearson with {truth}, mean over pairs, along the axes that this run measured: how large "
        "the step of a unit is, by site, with the step scaled, and in random sets of units that "
        "are patched together (there the estimate is the sum of the scores). The levels were fixed "
        "before the run. A method is **clear** of the next one at a level if their 95 % intervals "
        "do not meet."
    )
    told = [regime_sentence(found, regime) for regime in regimes_of(found)]
    long = [one for one in regimes_of(found) if len(levels_of(found, one)) > MOST_LEVELS]
    short = [regime_table(found, one) for one in regimes_of(found) if one not in long]
    made = [Section("Where does which method win?", (text, *told, *pictures, *short))]
    if long:
        tables = tuple(regime_table(found, one) for one in long)
        made.append(Section("Where does which method win? Layer by layer", tables, folded=True))
    return made


def map_points(records: Records) -> list[RegimePoint]:
    """The points of the primary contrast's truth, of the methods that were made for it.

    Without any of that truth: those of the first truth there is. Of an estimate at several bases,
    which a truth that uses both runs takes, the first one. Sites of several kinds are an
    axis for each kind, along its layers.
    """
    points = records.findings.regimes
    truths = list(dict.fromkeys(one.truth for one in points))
    if not truths:
        return []
    primary = records.manifest.primary.truth
    truth = records.truth(primary if primary in truths else truths[0])
    kinds = {_kind(one) for one in points if one.regime == SITE}
    made_for = [
        one
        for one in points
        if one.truth == truth.name
        and truth.answered_from(one.base)
        and not is_baseline(one.estimate)
    ]
    base = {one.estimate: one.base for one in reversed(made_for)}
    return [
        _of_its_kind(one) if one.regime == SITE and len(kinds) > 1 else one
        for one in made_for
        if one.base == base[one.estimate]
    ]


def _kind(point: RegimePoint) -> str:
    return point.level.rpartition(".")[0]


def _of_its_kind(point: RegimePoint) -> RegimePoint:
    """The point on the axis of its kind of site, at its layer."""
    layer = point.level.rpartition(".")[2]
    return replace(point, regime=LAYER_OF + _kind(point), level=layer)


def regimes_of(points: Sequence[RegimePoint]) -> list[str]:
    """The axes of the map, in the order of the records."""
    return list(dict.fromkeys(one.regime for one in points))


def is_layered(regime: str) -> bool:
    """Whether the levels of an axis are the layers of the model."""
    return regime == SITE or regime.startswith(LAYER_OF)


def levels_of(points: Sequence[RegimePoint], regime: str) -> list[str]:
    """The levels of an axis from small to large."""
    at = {one.level: one.at for one in points if one.regime == regime}
    return sorted(at, key=lambda level: at[level])


def regime_table(points: Sequence[RegimePoint], regime: str) -> Table:
    """Level x method: Pearson with its interval, how many units, and who agrees best."""
    here = [one for one in points if one.regime == regime]
    methods = list(dict.fromkeys(label(one.estimate, one.base) for one in here))
    rows: list[tuple[Cell, ...]] = []
    for level in levels_of(points, regime):
        found = {label(one.estimate, one.base): one for one in here if one.level == level}
        cells = [found[name].pearson if name in found else ABSENT for name in methods]
        units = max(one.units for one in found.values())
        rows.append((level, best_words(list(found.values())), units, *cells))
    caption = f"Pearson with {here[0].truth} by {regime}, mean over pairs [95 % interval]"
    return table(caption, (regime, "agrees best", "units", *methods), rows, labels=2, digits=2)


def short_regime_table(points: Sequence[RegimePoint], regime: str) -> Table:
    """Method x level: Pearson alone, the best of each level with a star; narrow for a terminal."""
    here = [one for one in points if one.regime == regime]
    levels = some_of(levels_of(points, regime), MOST_LEVELS)
    best = {level: _winner([one for one in here if one.level == level]) for level in levels}
    rows = []
    for name in dict.fromkeys(label(one.estimate, one.base) for one in here):
        own = {one.level: one for one in here if label(one.estimate, one.base) == name}
        cells = (
            number(own[level].pearson.value, 2) + ("*" if best[level] == name else "")
            if level in own
            else ABSENT
            for level in levels
        )
        rows.append((name, *cells))
    caption = f"Pearson with {here[0].truth} by {regime}, mean over pairs (* the best)"
    return table(caption, ("estimate", *levels), rows)


def best_words(points: Sequence[RegimePoint]) -> str:
    """Who agrees best at a level, and whether the next one is clearly behind."""
    ranking = _ranked(points)
    if not ranking:
        return ABSENT
    best, *others = ranking
    name = label(best.estimate, best.base)
    clear = all(_below(one.pearson, best.pearson) for one in others)
    return f"{name} (clear)" if clear and others else name


def regime_sentence(points: Sequence[RegimePoint], regime: str) -> str:
    """Which method agrees best from where to where."""
    here = [one for one in points if one.regime == regime]
    levels = levels_of(points, regime)
    winners = [_winner([one for one in here if one.level == level]) for level in levels]
    told = list(_runs(levels, winners))
    beginning = f"By **{regime}**"
    if len(told) > MOST_LEVELS:
        told = [(name, str(count)) for name, count in Counter(winners).most_common()]
        beginning += f", of {len(levels)} levels"
    words = [f"`{name}` at {span}" if name else f"none at {span}" for name, span in told]
    return f"{beginning}, the one that agrees best is {listed(words)}."


def _runs(levels: Sequence[str], winners: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each winner with the levels in a row at which it wins."""
    for winner, group in groupby(zip(levels, winners, strict=True), key=lambda one: one[1]):
        held = [level for level, _ in group]
        yield winner, held[0] if len(held) == 1 else f"{held[0]} ... {held[-1]}"


def _winner(points: Sequence[RegimePoint]) -> str:
    ranking = _ranked(points)
    return label(ranking[0].estimate, ranking[0].base) if ranking else ""


def _ranked(points: Sequence[RegimePoint]) -> list[RegimePoint]:
    """Those that are defined, best first; equals in the order of the records."""
    defined = [one for one in points if not math.isnan(one.pearson.value)]
    return sorted(defined, key=lambda one: -one.pearson.value)


def _below(one: Interval, other: Interval) -> bool:
    """Whether one interval ends before the other begins; an undefined end decides nothing."""
    return one.high < other.low
