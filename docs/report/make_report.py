"""Writes ``docs/report.md`` from the committed results: ``python docs/report/make_report.py``.

The text is in ``report.md.j2``; every number, and every sentence that depends on one, comes from
the records of the runs. Loads no model.
"""

import re
import sys
from pathlib import Path
from typing import Any

import agreements
import meanings
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from study import ROOT, Run, Study, read_study

from relp_sae.errors import InputError
from relp_sae.records.atomic import write_text
from relp_sae.report.behaviour import does_the_task, kept_pairs
from relp_sae.report.blocks import Block, Table
from relp_sae.report.curves import curve_sentences
from relp_sae.report.document import markdown_blocks
from relp_sae.report.setup_tables import sae_table
from relp_sae.report.wording import listed, number, percent, table

HERE = Path(__file__).parent
OUT = ROOT / "docs" / "report.md"


def written(study: Study) -> str:
    """The report as Markdown."""
    environment = Environment(
        loader=FileSystemLoader(HERE), undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters |= {
        "blocks": _blocks, "listed": listed, "number": number, "percent": percent,
    }  # fmt: skip
    contents: dict[str, Any] = {
        "study": study, "agreements": agreements, "meanings": meanings, "figure": figure,
        "command": command, "reading": reading, "quality": quality_table(study),
        "on_pairs": pairs_table, "task": task, "curve_sentences": curve_sentences,
    }  # fmt: skip
    return environment.get_template("report.md.j2").render(contents)


def _blocks(found: Block | list[Block]) -> str:
    return markdown_blocks(found if isinstance(found, list) else [found])


def figure(run: Run, name: str, words: str) -> str:
    """A figure of a run, and below it the command that draws it again.

    Raises:
        InputError: the run's folder lacks it.
    """
    path = run.path / "figures" / f"{name}.png"
    if not path.is_file():
        raise InputError(f"The report needs {path}: copy it there with docs/report/keep.py.")
    return f"![{words}](results/{run.name}/figures/{name}.png)\n\n{words} `{run.command}`"


def command(run: Run) -> str:
    """How to make a run again, and where its own report is."""
    return f"`{run.command}` ([report](results/{run.name}/report.md))"


def reading(run: Run) -> str:
    """What a person saw in a run's cards: its ``reading.md``; nothing where there is none.

    Raises:
        InputError: it speaks of a feature (`resid_pre.15/7`) that has no card in this run.
    """
    path = run.path / "reading.md"
    if not path.is_file():
        return ""
    text = path.read_text(encoding="utf-8").strip()
    known = {card.name for card in run.cards.cards}
    unknown = [name for name in re.findall(r"`(\w+\.\d+/\d+)`", text) if name not in known]
    if unknown:
        raise InputError(
            f"{path} speaks of {', '.join(unknown)}, without a card in features.json: read the "
            "cards again, or remove it."
        )
    return text + "\n"


def task(study: Study) -> list[str]:
    """Whether the model does the task in each run, each sentence once."""
    found = [one.records.manifest.behaviour for one in study.runs]
    told = [f"{does_the_task(one)} {kept_pairs(one)}" for one in found if one is not None]
    return list(dict.fromkeys(told))


def quality_table(study: Study) -> Table:
    """The SAEs on held-out text."""
    rows = [
        (
            name,
            study.shape[name]["architecture"],
            study.shape[name]["d_sae"],
            f"{one['tokens']:,}",
            number(one["l0"], 1),
            number(one["explained_variance"]),
            number(one["cross_entropy_recovered"]),
            percent(one["dead_fraction"]),
        )
        for name, one in study.quality.items()
    ]
    header = ("SAE", "kind", "features", "tokens", "L0", "variance explained", "CE recovered")
    return table("The SAEs on held-out text", (*header, "dead"), rows, labels=2)


def pairs_table(run: Run) -> Table:
    """A run's SAE on its prompt pairs."""
    return sae_table(run.records.manifest.sae_quality)


def main() -> None:
    """Write the report, or say in a sentence what it lacks."""
    try:
        write_text(OUT, written(read_study()))
    except InputError as error:
        sys.exit(f"Error: {error}")
    print(OUT)


if __name__ == "__main__":
    main()
