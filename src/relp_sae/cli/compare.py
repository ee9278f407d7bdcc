"""``relp-sae compare`` and ``report``: from saved scores, without a model."""

from pathlib import Path
from typing import Annotated

from typer import Argument

from relp_sae.cli import options
from relp_sae.errors import InputError

Folders = Annotated[
    list[Path], Argument(help="A run folder, or several: one with estimates, one with truths.")
]


def compare(folders: Folders, out: options.Out = None) -> None:
    """Compare saved estimates with saved truths, with intervals and tests.

    One folder is compared in place. Several of the same pairs are joined into --out.

    Example:

        relp-sae compare runs/estimates runs/truth --out runs/both
    """
    from relp_sae.cli.terminal import print_agreement, progress
    from relp_sae.experiment import write_findings
    from relp_sae.records import RunFolder
    from relp_sae.records.joining import join_folders
    from relp_sae.report import write_report

    opened = [RunFolder.open(path) for path in folders]
    if len(opened) > 1 and out is None:
        raise InputError("Give --out, the folder to make from several run folders.")
    if len(opened) == 1 and out is not None:
        raise InputError("One folder is compared in place; leave --out away.")
    folder = opened[0] if out is None else join_folders(opened, out)
    with progress() as track:
        write_findings(folder, track)
    write_report(folder)
    print_agreement(folder)


def report(folder: Annotated[Path, Argument(help="A run folder with agreement.json.")]) -> None:
    """Write report.md, report.html and figures/ again from a run folder's saved records."""
    from relp_sae.cli.terminal import print_agreement
    from relp_sae.records import RunFolder
    from relp_sae.report import write_report

    opened = RunFolder.open(folder)
    write_report(opened)
    print_agreement(opened)
