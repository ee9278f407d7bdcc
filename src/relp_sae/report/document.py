"""One list of sections, written twice: as Markdown, and as one page that loads nothing."""

import base64
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from relp_sae.report.blocks import Section


def markdown(title: str, sections: Sequence[Section]) -> str:
    """The report as Markdown; it shows the PNGs in ``figures/``."""
    environment = _environment(autoescape=False)
    environment.filters["cell"] = _markdown_cell
    return environment.get_template("report.md.j2").render(title=title, sections=sections)


def page(title: str, sections: Sequence[Section], figures: Path) -> str:
    """The report as one HTML file with the SVGs of ``figures`` inside."""
    environment = _environment(autoescape=True)
    environment.filters["inline"] = _inline_html
    environment.filters["data_uri"] = partial(_data_uri, figures)
    return environment.get_template("report.html.j2").render(title=title, sections=sections)


def _environment(autoescape: bool) -> Environment:
    return Environment(
        loader=PackageLoader("relp_sae.report"),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )


def _markdown_cell(text: str) -> str:
    flat = " ".join(text.split())
    return escape(flat).replace("|", "\\|")


def _inline_html(text: str) -> Markup:
    """The two marks of a paragraph as HTML; everything else is taken as plain text."""
    parts = (
        Markup("<code>{}</code>").format(part) if i % 2 else _bold(part)
        for i, part in enumerate(text.split("`"))
    )
    return Markup("").join(parts)


def _bold(text: str) -> Markup:
    parts = (
        Markup("<strong>{}</strong>").format(part) if i % 2 else escape(part)
        for i, part in enumerate(text.split("**"))
    )
    return Markup("").join(parts)


def _data_uri(figures: Path, name: str) -> str:
    data = base64.b64encode((figures / f"{name}.svg").read_bytes()).decode("ascii")
    return f"data:image/svg+xml;base64,{data}"
