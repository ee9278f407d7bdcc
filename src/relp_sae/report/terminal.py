"""The tables that the command line prints at the end of a run. Loads no matplotlib."""

import rich.table
from rich import box
from rich.text import Text

from relp_sae.records import EVERYWHERE, RunFolder
from relp_sae.report.blocks import Table
from relp_sae.report.certificates import certificate_table
from relp_sae.report.contents import read_records
from relp_sae.report.contrasts import contrast_table
from relp_sae.report.features import feature_table, leading
from relp_sae.report.regimes import map_points, regimes_of, short_regime_table
from relp_sae.report.tables import headline_table


def terminal_tables(folder: RunFolder) -> list[rich.table.Table]:
    """The headline table of each truth, of features over all sites, then the contrasts."""
    records = read_records(folder)
    parts = records.main_parts if records.nodes else [EVERYWHERE]
    headlines = [headline_table(records, truth, parts) for truth in records.truths]
    return [as_rich(table) for table in [*headlines, contrast_table(records.findings.contrasts)]]


def regime_tables(folder: RunFolder) -> list[rich.table.Table]:
    """One table for each axis of the regime map; none where there is no map."""
    points = map_points(read_records(folder))
    return [as_rich(short_regime_table(points, regime)) for regime in regimes_of(points)]


def certificate_tables(folder: RunFolder) -> list[rich.table.Table]:
    """The certificates of the estimates; none where none were made. Needs no agreement."""
    found = folder.read_certificates()
    return [as_rich(certificate_table(found))] if found else []


def feature_tables(folder: RunFolder) -> list[rich.table.Table]:
    """The features on the cards; none where none were looked at. Needs no agreement."""
    found = folder.read_features()
    return [] if found is None else [as_rich(feature_table(found, leading(found)))]


def as_rich(table: Table) -> rich.table.Table:
    """The same table for a terminal, its notes below it; single words are never cut to fit."""
    notes = Text("\n".join(table.notes)) if table.notes else None
    made = rich.table.Table(
        title=Text(table.caption, style="bold"),
        caption=notes,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
    )
    for i, (heading, *cells) in enumerate(zip(table.header, *table.rows, strict=True)):
        made.add_column(
            Text(heading),
            justify="left" if i < table.labels else "right",
            no_wrap=not any(" " in cell for cell in cells),
        )
    for row in table.rows:
        made.add_row(*map(Text, row))
    return made
