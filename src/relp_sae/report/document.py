"""One list of sections, written twice: as Markdown, and as one page that loads nothing."""

import base64
import html
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from relp_sae.report.blocks import Block, Section
from relp_sae.report.wording import visible


def markdown(title: str, sections: Sequence[Section]) -> str:
    """The report as Markdown; it shows the PNGs in ``figures/``."""
    return _markdown("report.md.j2", title=title, sections=sections)


def markdown_blocks(blocks: Sequence[Block]) -> str:
    """Paragraphs and tables as in the report, without a heading."""
    return _markdown("blocks.md.j2", blocks=blocks).strip() + "\n"


def page(title: str, sections: Sequence[Section], figures: Path) -> str:
    """The report as one HTML file with the SVGs of ``figures`` inside."""
    environment = _environment(autoescape=True)
    environment.filters["inline"] = _inline_html
    environment.filters["data_uri"] = partial(_data_uri, figures)
    return environment.get_template("report.html.j2").render(title=title, sections=sections)


def _markdown(template: str, **contents: Any) -> str:
    environment = _environment(autoescape=False)
    environment.filters["cell"] = _markdown_cell
    environment.filters["plain"] = _markdown_plain
    environment.filters["code"] = _markdown_code
    return environment.get_template(template).render(**contents)


def _environment(autoescape: bool) -> Environment:
    made = Environment(
        loader=PackageLoader("relp_sae.report"),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["visible"] = visible
    return made


def _markdown_cell(text: str) -> str:
    flat = " ".join(text.split())
    return html.escape(flat, quote=False).replace("|", "\\|")


def _markdown_plain(text: str) -> str:
    """Somebody's text as it is: no character of it is markup.

    >>> _markdown_plain("a *b* <i>'")
    "a \\\\*b\\\\* &lt;i&gt;'"
    """
    return html.escape(re.sub(r"([\\`*_\[\]|~$#])", r"\\\1", text), quote=False)


def _markdown_code(text: str) -> str:
    """Somebody's text as code, between more backticks than stand in it.

    >>> _markdown_code(" the"), _markdown_code("a`b")
    ('` the`', '``a`b``')
    """
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    room = " " if text[:1] == "`" or text[-1:] == "`" else ""
    return f"{fence}{room}{text}{room}{fence}"


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
