"""Tables, figures and one page about a run, from its saved records alone."""

from pathlib import Path

from relp_sae.records import RunFolder
from relp_sae.records.atomic import write_text
from relp_sae.report import show
from relp_sae.report.contents import read_records
from relp_sae.report.terminal import certificate_tables, regime_tables, terminal_tables

__all__ = ["certificate_tables", "regime_tables", "show", "terminal_tables", "write_report"]


def write_report(folder: RunFolder) -> Path:
    """Write ``figures/``, ``report.html`` and ``report.md``; the path of the last.

    Raises:
        InputError: the folder lacks its scores or its agreement, or cannot be written.
    """
    # Here and not above: matplotlib takes a second to load, and the command line prints without it.
    from relp_sae.report import document, figures, sections

    records = read_records(folder)
    pictures = figures.save_figures(folder.path / "figures", records)
    told = sections.sections(records, pictures)
    title = sections.title(records.manifest)
    html = document.page(title, told, folder.path / "figures")
    write_text(folder.path / "report.html", html)
    path = folder.path / "report.md"
    write_text(path, document.markdown(title, told))
    return path
