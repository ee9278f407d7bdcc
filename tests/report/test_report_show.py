"""What a notebook shows is what the report says."""

import pytest

from relp_sae.errors import InputError
from relp_sae.records import RunFolder
from relp_sae.report import show

PNG = b"\x89PNG\r\n\x1a\n"


def lines_of(text: str) -> set[str]:
    return {line for line in text.splitlines() if line}


@pytest.mark.parametrize("shown", [show.behaviour, show.answer], ids=["behaviour", "answer"])
def test_words_stand_in_the_report_line_by_line(reported: RunFolder, shown) -> None:
    words = shown(reported)._repr_markdown_()
    report = (reported.path / "report.md").read_text(encoding="utf-8")
    assert lines_of(words)
    assert lines_of(words) <= lines_of(report)
    assert words == str(shown(str(reported.path)))


def test_an_agreement_table_has_every_estimate_made_for_its_truth(reported: RunFolder) -> None:
    words = show.agreement(reported, "denoise")._repr_markdown_()
    rows = {line.split(" | ")[0].strip("| "): line for line in words.splitlines() if "|" in line}
    means = {
        one.estimate if one.base == "both" else f"{one.estimate}@{one.base}": one.mean.value
        for one in reported.read_findings().agreements
        if (one.truth, one.measure, one.part) == ("denoise", "pearson", "all sites")
        and one.base != "clean"
    }
    assert len(means) == 5
    assert all(f"| {mean:.3f} [" in rows[name] for name, mean in means.items())


def test_contrasts_and_areas_are_those_of_the_findings(whole_report: RunFolder) -> None:
    findings = whole_report.read_findings()
    words = show.contrasts(whole_report)._repr_markdown_()
    assert all(f"{one.difference.value:.3f} [" in words for one in findings.contrasts)
    if not findings.curves:
        with pytest.raises(InputError, match="curves=True"):
            show.curve_areas(whole_report)
        return
    best = max(
        (one for one in findings.curves if one.direction == "sufficiency" and one.order == "size"),
        key=lambda one: one.area.value if one.ranking == "shapley" else -1,
    )
    assert (
        f"| shapley | {best.area.value:.3f} [" in show.curve_areas(whole_report)._repr_markdown_()
    )


@pytest.mark.parametrize("name", ["agreement", "scatter-noise"])
def test_figures_are_small_pngs_with_their_caption(reported: RunFolder, name: str) -> None:
    image = show.figure(reported, name)
    assert image._repr_png_().startswith(PNG)
    assert len(image.png) < 300_000
    assert repr(image) in (reported.path / "report.md").read_text(encoding="utf-8")


def test_what_is_not_there_is_named(reported: RunFolder) -> None:
    with pytest.raises(InputError, match="Did you mean 'denoise'"):
        show.agreement(reported, "denoising")
    with pytest.raises(InputError, match="There are: agreement, scatter-denoise"):
        show.figure(reported, "scatter")
    with pytest.raises(InputError, match="measured nothing that the figure 'curves' could show"):
        show.figure(reported, "curves")
