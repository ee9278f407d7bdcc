"""What people see: progress with the time left, and the tables at the end."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from relp_sae.records import RunFolder
from relp_sae.report.behaviour import behaviour_line
from relp_sae.report.terminal import (
    certificate_tables,
    feature_tables,
    regime_tables,
    terminal_tables,
)

console = Console(highlight=False)


@contextmanager
def progress() -> Iterator[Callable[[str, Sequence[int]], Iterable[int]]]:
    """Bars with the time left on standard error, one for each thing that is done."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:

        def track(what: str, items: Sequence[int]) -> Iterable[int]:
            return bars.track(items, description=what)

        yield track


def print_agreement(folder: RunFolder) -> None:
    """The headline tables and where the rest is."""
    for table in terminal_tables(folder):
        console.print(table)
    print_certificates(folder)
    _say_behaviour(folder)
    _name_report(folder)


def print_regimes(folder: RunFolder) -> None:
    """The regime map and where the rest is."""
    for table in regime_tables(folder):
        console.print(table)
    _say_behaviour(folder)
    _name_report(folder)


def print_features(folder: RunFolder) -> None:
    """What the top features mean, and where the rest is."""
    for table in feature_tables(folder):
        console.print(table)
    if folder.is_compared:
        _name_report(folder)
    console.print(f"Features: {folder.path / 'features.json'}", soft_wrap=True)


def print_certificates(folder: RunFolder) -> None:
    """What the run's certificates say, where it made some."""
    for table in certificate_tables(folder):
        console.print(table)


def _say_behaviour(folder: RunFolder) -> None:
    if line := behaviour_line(folder.read_manifest()):
        console.print(escape(line), soft_wrap=True)


def _name_report(folder: RunFolder) -> None:
    console.print(
        f"Report: {folder.path / 'report.md'} (and report.html, figures/)", soft_wrap=True
    )


def print_scores(folder: RunFolder) -> None:
    """One line per score: how many units, how large."""
    table = Table("score", "units", "largest |score|", title="Scores")
    for one in folder.read_scores():
        table.add_row(one.label, f"{len(one.units):,}", f"{abs(one.score).max():.4g}")
    console.print(table)
    _say_behaviour(folder)
    console.print(f"Scores: {folder.path / 'scores.parquet'}", soft_wrap=True)
