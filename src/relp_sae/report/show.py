"""A run's tables and figures where they are asked for: in a notebook, from its saved records.

    show.answer(folder)                # what the numbers say, in sentences
    show.agreement(folder, "denoise")  # a table
    show.figure(folder, "curves")      # a figure

Each is a part of the run's report; Jupyter shows it as text or as a picture.
"""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pandas as pd

from relp_sae.errors import InputError
from relp_sae.records import EVERYWHERE, FeatureCards, RunFolder
from relp_sae.registry import suggestion
from relp_sae.report import document, features, tables, verdict
from relp_sae.report.behaviour import behaviour_section
from relp_sae.report.blocks import Block
from relp_sae.report.contents import Records, read_records
from relp_sae.report.contrasts import contrast_table
from relp_sae.report.curves import NATURAL, area_table, natural, shown_sites
from relp_sae.report.wording import table

DPI = 90

Run = RunFolder | Path | str
"""A finished run: its folder, opened or by its path."""


@dataclass(frozen=True)
class Text:
    """Paragraphs and tables, shown as Markdown."""

    blocks: tuple[Block, ...]

    def _repr_markdown_(self) -> str:
        return document.markdown_blocks(self.blocks)

    def __str__(self) -> str:
        return self._repr_markdown_()


@dataclass(frozen=True)
class Image:
    """A figure as a PNG file's bytes, and what it shows."""

    png: bytes
    caption: str

    def _repr_png_(self) -> bytes:
        return self.png

    def __repr__(self) -> str:
        return self.caption


def behaviour(run: Run) -> Text:
    """Does the model do the task?"""
    return Text(behaviour_section(_records(run).manifest).blocks)


def answer(run: Run) -> Text:
    """What the numbers say: who agrees best with each truth, and which contrasts are decided."""
    return Text(tuple(verdict.answer(_records(run))))


def agreement(run: Run, truth: str) -> Text:
    """How well each estimate agrees with a truth, mean over pairs [95 % interval].

    Raises:
        InputError: the run has no such truth.
    """
    records = _records(run)
    known = [one.name for one in records.truths]
    if truth not in known:
        raise InputError(
            f"The run has no truth '{truth}'. {suggestion(truth, known)}It has: {', '.join(known)}."
        )
    parts = records.main_parts if records.nodes else [EVERYWHERE]
    return Text((tables.headline_table(records, records.truth(truth), parts),))


def contrasts(run: Run) -> Text:
    """Differences between estimates, with sign-flip tests and Holm's correction."""
    return Text((contrast_table(_records(run).findings.contrasts),))


def curve_areas(run: Run) -> Text:
    """The areas under the circuit curves of each ranking, best first.

    Raises:
        InputError: the run measured no curves.
    """
    records = _records(run)
    found = records.findings.curves
    if not found:
        raise InputError("The run has no circuit curves: run with --curves (curves=True).")
    return Text(
        tuple(
            area_table(natural(found, direction, records), direction, shown_sites(found))
            for direction in NATURAL
        )
    )


def shared_features(run: Run) -> Text:
    """How many of the strongest features each two rankings have in common.

    Raises:
        InputError: the run's features were not looked at.
    """
    found = _cards(run)
    return Text((features.shared_table(found, found.ranked_by),))


def cards(run: Run, label: str, many: int = 3) -> Text:
    """The strongest features of one ranking (``denoise``, ``relp@corrupted``), with their contexts.

    Raises:
        InputError: the run's features were not looked at, or not by that ranking.
    """
    found = _cards(run)
    if label not in found.ranked_by:
        raise InputError(
            f"No features were ranked by '{label}'. {suggestion(label, found.ranked_by)}They were "
            f"by: {', '.join(found.ranked_by)}."
        )
    return Text(tuple(map(features.card_of, features.strongest(found, label)[:many])))


def rows(caption: str, frame: pd.DataFrame, labels: int = 1) -> Text:
    """Any table, without its index; the first ``labels`` columns are words."""
    cells = frame.itertuples(index=False, name=None)
    return Text((table(caption, map(str, frame.columns), cells, labels),))


def figure(run: Run, name: str) -> Image:
    """A figure of the report: ``agreement``, ``scatter-TRUTH``, ``regimes`` or ``curves``.

    Raises:
        InputError: there is no such figure, or the run measured nothing that it could show.
    """
    from relp_sae.report import figures, style  # loads matplotlib

    drawers = figures.drawers(_records(run))
    if name not in drawers:
        raise InputError(
            f"There is no figure '{name}'. {suggestion(name, drawers)}There are: "
            f"{', '.join(drawers)}."
        )
    with style.styled():
        drawn = drawers[name]()
        if drawn is None:
            raise InputError(f"The run measured nothing that the figure '{name}' could show.")
        png = BytesIO()
        drawn.figure.savefig(png, format="png", dpi=DPI)
    return Image(png.getvalue(), drawn.picture.caption)


def _cards(run: Run) -> FeatureCards:
    found = _records(run).features
    if found is None:
        raise InputError(
            "The run's features were not looked at. Make cards with relp-sae features RUN, or with "
            "feature_cards and RunFolder.write_features."
        )
    return found


def _records(run: Run) -> Records:
    return read_records(run if isinstance(run, RunFolder) else RunFolder.open(run))
