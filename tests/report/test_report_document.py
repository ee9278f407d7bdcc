"""The report as files: complete, self-contained, and the same every time."""

import io
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from rich.console import Console

from relp_sae.errors import InputError
from relp_sae.records import (
    Agreement,
    Contrast,
    FeatureScores,
    Findings,
    Interval,
    Manifest,
    RunFolder,
)
from relp_sae.report import document, terminal_tables, write_report
from relp_sae.report.blocks import Code, Section, Table
from relp_sae.report.contents import Records
from relp_sae.report.sections import sae_quality, sections
from relp_sae.report.wording import has_size, interval

VOID = {"meta", "img", "link", "br", "hr", "input"}


class Page(HTMLParser):
    """Fails on a tag that is not closed in order; collects what would be loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [value or "" for name, value in attrs if name in ("src", "href", "srcset")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(folder: RunFolder) -> Page:
    page = Page()
    page.feed((folder.path / "report.html").read_text(encoding="utf-8"))
    page.close()
    return page


@pytest.mark.parametrize("name", ["agreement", "scatter-denoise", "scatter-noise"])
def test_figures_are_there_and_not_blank(reported: RunFolder, name: str) -> None:
    pixels = imread(reported.path / "figures" / f"{name}.png")[..., :3]
    assert min(pixels.shape[:2]) > 300
    assert 0.005 < float(np.mean(pixels.min(axis=-1) < 0.9)) < 0.5
    drawn = (reported.path / "figures" / f"{name}.svg").read_text(encoding="utf-8")
    assert drawn.count("<path") > 20


def test_page_is_one_file_that_loads_nothing(reported: RunFolder) -> None:
    page = parsed(reported)
    assert page.open == []
    assert len(page.loads) == 3
    assert all(load.startswith("data:image/svg+xml;base64,") for load in page.loads)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    html = (reported.path / "report.html").read_text(encoding="utf-8")
    assert "url(" not in html
    assert "@import" not in html


def test_report_holds_the_numbers_and_the_command(
    reported: RunFolder, compared: tuple[list[Agreement], list[Contrast]]
) -> None:
    text = (reported.path / "report.md").read_text(encoding="utf-8")
    agreements, contrasts = compared
    for one in agreements:
        if has_size(one.estimate, one.measure):
            assert interval(one.mean) in text
    for one in contrasts:
        assert f"{one.difference.value:.3f} [{one.difference.low:.3f}, " in text
    for words in (
        "relp-sae run --model tiny-model --out 'my run'",
        "tiny-model",
        "86 % of the 7 clean prompts",
        "-0.02 for RelP-SAE, 0.25 for the gradient and -0.05 for integrated gradients",
        "set this one unit to its clean value",
        "set this one unit to its corrupted value",
        "the model prefers the foil \\| on clean",
        "61 % at `resid_post.1` (denoise)",
        "(figures/agreement.png)",
    ):
        assert words in text


def test_markdown_tables_have_as_many_cells_in_every_row(reported: RunFolder) -> None:
    lines = (reported.path / "report.md").read_text(encoding="utf-8").splitlines()
    tables = "\n".join(line if line.startswith("|") else "" for line in lines).split("\n\n")
    widths = [
        {line.replace("\\|", "").count("|") for line in table.split("\n") if line}
        for table in tables
    ]
    assert sum(map(bool, widths)) >= 15
    assert all(len(found) <= 1 for found in widths)


def test_the_same_records_make_the_same_report(reported: RunFolder) -> None:
    files = [reported.path / "report.md", reported.path / "report.html"]
    files += sorted((reported.path / "figures").iterdir())
    before = [file.read_bytes() for file in files]
    assert write_report(reported) == reported.path / "report.md"
    assert [file.read_bytes() for file in files] == before


def test_nothing_undefined_is_a_bare_nan(
    make_run: Callable[..., RunFolder],
    compared: tuple[list[Agreement], list[Contrast]],
    scores: list[FeatureScores],
) -> None:
    reason = "6 of 6 pairs left out: constant truth (6)"
    nan = Interval(math.nan, math.nan, math.nan, reason)
    agreements = [
        replace(one, mean=nan, pooled=nan, per_pair=(math.nan,) * 6) for one in compared[0]
    ]
    contrasts = [replace(one, difference=nan, p=math.nan, p_holm=math.nan) for one in compared[1]]
    flat = [replace(one, score=np.zeros_like(one.score)) for one in scores]
    folder = make_run(flat, (agreements, contrasts))
    text = write_report(folder).read_text(encoding="utf-8")
    assert "no estimate has a defined Pearson" in text
    assert f"¹ {reason}" in text
    assert "| undefined¹ |" in text
    page = (folder.path / "report.html").read_text(encoding="utf-8")
    assert "undefined¹" in page
    words = text.replace("|", " ").replace("[", " ").split()
    assert not {"nan", "nan,", "nan]", "NaN"} & set(words)


def test_a_run_without_agreement_says_how_to_make_it(tmp_path: Path, reported: RunFolder) -> None:
    folder = RunFolder.create(tmp_path / "run", reported.read_manifest())
    with pytest.raises(InputError, match=r"no agreement\.json yet. Make it with: relp-sae compare"):
        write_report(folder)


def test_a_bare_manifest_is_reported_as_not_measured(
    run_manifest: Manifest,
    scores: list[FeatureScores],
    compared: tuple[list[Agreement], list[Contrast]],
) -> None:
    bare = {"behaviour": None, "sae_quality": {}, "rule_audit": {}, "stages": {}}
    records = Records(run_manifest.model_copy(update=bare), scores, Findings(*map(tuple, compared)))
    text = document.markdown("t", sections(records, pictures=[]))
    assert text.count("Not measured in this run.") == 2
    assert "No estimate of this run uses rules." in text


def test_good_saes_are_said_so(run_manifest: Manifest) -> None:
    assert "smaller part of the story" in str(sae_quality(run_manifest).blocks[0])
    good = {
        site: one.model_copy(update={"error_share": {"denoise": 0.2}})
        for site, one in run_manifest.sae_quality.items()
    }
    quiet = sae_quality(run_manifest.model_copy(update={"sae_quality": good}))
    assert "smaller part of the story" not in str(quiet.blocks[0])


def test_a_transcoder_is_named_by_both_of_its_sites(run_manifest: Manifest) -> None:
    assert "transcoder" not in str(sae_quality(run_manifest).blocks)
    site, *_ = run_manifest.sae_quality
    for reads, told in ((site, False), ("mlp_in.1", True)):
        one = run_manifest.sae_quality[site].model_copy(update={"reads": reads})
        blocks = sae_quality(run_manifest.model_copy(update={"sae_quality": {site: one}})).blocks
        (table,) = (block for block in blocks if isinstance(block, Table))
        assert ("is a transcoder" in str(blocks)) is told
        assert table.rows[0][0] == (f"mlp_in.1 to {site}" if told else site)


def test_what_users_write_is_shown_and_not_obeyed(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>"
    blocks = (f"Model `{hostile}` & co.", Table("c", ("a|b",), ((hostile,),)), Code(hostile))
    html = document.page(hostile, [Section("s", blocks)], tmp_path)
    assert "<script" not in html
    assert "<code>&lt;script&gt;alert(1)&lt;/script&gt;</code> &amp; co." in html
    markdown = document.markdown("t", [Section("s", blocks)])
    assert "| a\\|b |\n| :--- |\n| &lt;script&gt;" in markdown


def test_terminal_tables_show_the_same_numbers(
    reported: RunFolder, compared: tuple[list[Agreement], list[Contrast]]
) -> None:
    console = Console(width=140, record=True, file=io.StringIO())
    tables = terminal_tables(reported)
    assert len(tables) == 3
    console.print(*tables)
    text = console.export_text()
    primary = compared[1][0]
    assert "relp - gradient (primary)" in text
    assert f"{primary.difference.value:.3f} [{primary.difference.low:.3f}, " in text
    assert "relp@corrupted" in text
    assert "relp@clean" in text


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("relp_sae.report.terminal", "matplotlib torch transformers sae_lens"),
        ("relp_sae.report.figures, relp_sae.report.sections", "torch transformers sae_lens"),
    ],
)
def test_the_room_loads_no_more_than_it_needs(module: str, absent: str) -> None:
    code = f"import sys, {module}; sys.exit(str(set('{absent}'.split()) & set(sys.modules) or ''))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""
