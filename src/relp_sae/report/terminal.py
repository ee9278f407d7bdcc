"""The tables that the command line prints at the end of a run. Loads no matplotlib."""

import rich.table
from rich import box
from rich.text import Text

from relp_sae.records import RunFolder
from relp_sae.report.blocks import Table
from relp_sae.report.tables import contrast_table, headline_table, truths_of


def terminal_tables(folder: RunFolder) -> list[rich.table.Table]:
    """The headline table of each truth, then the contrasts."""
    findings = folder.read_findings()
    agreements, contrasts = findings.agreements, findings.contrasts
    headlines = [headline_table(agreements, truth) for truth in truths_of(agreements)]
    return [as_rich(table) for table in [*headlines, contrast_table(contrasts)]]


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
