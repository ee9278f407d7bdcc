"""The report, section by section: records in, words and tables out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from relp_sae.faithfulness import measures
from relp_sae.faithfulness.agreement import pair_values
from relp_sae.faithfulness.alignment import align
from relp_sae.records import Contrast, FeatureScores, Findings, Manifest
from relp_sae.records.manifest import Behaviour
from relp_sae.report import setup_tables, tables
from relp_sae.report.blocks import Code, Picture, Section, Table
from relp_sae.report.seed import seed_section
from relp_sae.report.verdict import answer
from relp_sae.report.wording import TRUTHS, listed, number, percent


@dataclass(frozen=True)
class Records:
    """Everything that a run folder holds for the report."""

    manifest: Manifest
    scores: Sequence[FeatureScores]
    findings: Findings

    @property
    def truths(self) -> list[FeatureScores]:
        """The scores that were measured by intervention."""
        return [one for one in self.scores if one.kind == "truth"]


def title(manifest: Manifest) -> str:
    """The heading of the report."""
    return f"How faithful are SAE feature scores? {manifest.config.model} on {manifest.config.task}"


def sections(records: Records, pictures: Sequence[Picture]) -> list[Section]:
    """The whole report in order."""
    return [
        question(records),
        Section("The answer", (answer(records.findings.agreements, records.findings.contrasts),)),
        behaviour(records.manifest),
        sae_quality(records.manifest),
        agreement(records, pictures),
        contrasts(records.findings.contrasts),
        seed_section(records.scores),
        details(records),
        repeat(records.manifest),
    ]


def question(records: Records) -> Section:
    """What was asked, of which model, in which words."""
    config = records.manifest.config
    sites = sorted({site for one in records.truths for site in one.units.site.tolist()})
    return Section(
        "The question",
        (
            "An attribution method gives every SAE feature a score from a backward pass or two. "
            "Does the score agree with what happens when that one feature is really changed?",
            f"Model `{config.model}`; SAEs {listed([f'`{one}`' for one in config.saes])} at "
            f"{listed([f'`{site}`' for site in sites])}; task `{config.task}`, {config.n} prompt "
            f"pairs asked for, seed {config.seed}; behaviour metric `{config.metric}`.",
            "A **positive** score means that the unit supports the answer, in the unit of the "
            "metric. A unit is one feature at one position that differs between the clean and the "
            "corrupted run; features that do not differ score zero by construction and never "
            "enter a correlation. What the SAE leaves unexplained at a position is its error "
            "unit: it is kept in every run, scored and drawn, and left out of the correlations.",
        ),
    )


def behaviour(manifest: Manifest) -> Section:
    """Does the model do the task at all?"""
    heading = "Does the model do the task?"
    found = manifest.behaviour
    if found is None:
        return Section(heading, ("Not measured in this run.",))
    if found.clean_accuracy < 0.5:
        verdict = "The model does **not** do this task: read the scores below as such."
    else:
        verdict = "The rest of this report is about the kept pairs."
    return Section(
        heading,
        (
            f"It prefers the answer on {percent(found.clean_accuracy)} of the {found.measured} "
            f"clean prompts. {found.kept} pairs are kept and "
            f"{sum(found.dropped.values())} left out. {verdict}",
            *_bad_lines(found),
            setup_tables.behaviour_table(found),
            *([setup_tables.dropped_table(found)] if found.dropped else []),
        ),
    )


def _bad_lines(found: Behaviour) -> list[str]:
    """Which lines of the user's file are not among the pairs, where there are any."""
    if not found.bad_lines:
        return []
    count = len(found.bad_lines)
    return [f"{count} lines of the pairs file could not be used: {'; '.join(found.bad_lines)}."]


def sae_quality(manifest: Manifest) -> Section:
    """Do the features describe the activations that the behaviour rests on?"""
    heading = "How good are the SAEs here?"
    if not manifest.sae_quality:
        return Section(heading, ("Not measured in this run.",))
    heavy = [
        f"{percent(share)} at `{site}` ({truth})"
        for site, one in manifest.sae_quality.items()
        for truth, share in one.error_share.items()
        if share > 0.5
    ]
    warning = (
        f" Error units carry more than half of the total effect: {listed(heavy)}. There, the "
        "features tell the smaller part of the story."
        if heavy
        else ""
    )
    return Section(
        heading,
        (
            "Measured on the very pairs used, from the first changed token on. The "
            "metric without error term is the clean one when the reconstruction alone replaces the "
            "activation; the error share is the part of the summed absolute effect that error "
            "units carry." + warning,
            setup_tables.sae_table(manifest.sae_quality),
        ),
    )


def agreement(records: Records, pictures: Sequence[Picture]) -> Section:
    """The headline tables and the figures."""
    truths = tables.truths_of(records.findings.agreements)
    asked = [f"**{name}**: {TRUTHS[name].asks}" for name in truths if name in TRUTHS]
    return Section(
        "Agreement of estimate and truth",
        (
            "A truth is an effect measured by intervention, and each truth asks another question.",
            *asked,
            *_truths_correlate(records.truths),
            "Each table shows the estimates that were made for its truth: their slopes come from "
            "the run that the truth patches, or from both runs. The intervals are bootstraps over "
            "prompt pairs: this dictionary, new prompts.",
            *(tables.headline_table(records.findings.agreements, truth) for truth in truths),
            *pictures,
        ),
    )


def contrasts(found: Sequence[Contrast]) -> Section:
    """Who is better than whom."""
    return Section(
        "Which estimate agrees better?",
        (
            "Each line compares two estimates on the same pairs. p is from a sign-flip permutation "
            "test of Fisher's z over the pairs; Holm's correction is for all lines of the table. "
            "The primary contrast was declared before the run and stands on its own p; every "
            "other line is read by its corrected p.",
            tables.contrast_table(found),
        ),
    )


def details(records: Records) -> Section:
    """Reference material."""
    audit = records.manifest.rule_audit
    shown: list[str | Table] = [
        *(
            tables.full_table(records.findings.agreements, truth)
            for truth in tables.truths_of(records.findings.agreements)
        ),
        *(setup_tables.units_table(one.units) for one in records.truths[:1]),
        setup_tables.audit_table(audit) if audit else "No estimate of this run uses rules.",
        setup_tables.timing_table(records.manifest.stages),
    ]
    return Section("Details", tuple(shown), folded=True)


def repeat(manifest: Manifest) -> Section:
    """The command, the code and the weights."""
    made_by = manifest.provenance
    return Section(
        "How to repeat this run",
        (
            Code(made_by.command),
            f"Started {made_by.started} on {made_by.platform}, device `{manifest.config.device}`, "
            f"`{manifest.config.dtype}`.",
            setup_tables.weights_table(manifest),
            setup_tables.versions_table(made_by),
        ),
    )


def _truths_correlate(truths: Sequence[FeatureScores]) -> list[str]:
    """How far the first two truths agree with one another, in this run."""
    if len(truths) < 2:
        return []
    first, second = truths[:2]
    values, _ = pair_values(measures["pearson"], align(first, second))
    defined = values[np.isfinite(values)]
    found = number(float(defined.mean())) if len(defined) else "undefined"
    return [
        f"They need not agree with one another: here the Pearson of {first.name} with "
        f"{second.name} is {found} on average over the pairs. An estimate that is faithful to one "
        "can be wrong about the other."
    ]
