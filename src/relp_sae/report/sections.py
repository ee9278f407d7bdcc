"""The report, section by section: records in, words and tables out."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from relp_sae.catalogue import model_key
from relp_sae.faithfulness import measures
from relp_sae.faithfulness.agreement import pair_values
from relp_sae.faithfulness.alignment import align
from relp_sae.records import FeatureScores, Manifest
from relp_sae.report import setup_tables, tables
from relp_sae.report.behaviour import behaviour_section
from relp_sae.report.blocks import Code, Picture, Section, Table
from relp_sae.report.certificates import certificates_section
from relp_sae.report.contents import Records
from relp_sae.report.contrasts import contrasts_section, descriptive_sections
from relp_sae.report.costs import costs_section
from relp_sae.report.curves import curves_section
from relp_sae.report.features import features_sections
from relp_sae.report.regimes import regimes_section
from relp_sae.report.seed import seed_section
from relp_sae.report.verdict import answer
from relp_sae.report.wording import ASKS, ERROR_TERMS, listed, number, percent

RELP_TABLE = (
    "This is the question of RelP's own table (Jafari et al. 2025, arXiv 2508.21258): on GPT-2 "
    "small its Pearson with `denoise` is 0.75 for the gradient and 0.97 for RelP at the residual "
    "stream, 0.98 and 0.96 at attention outputs, 0.20 and 0.99 at MLP outputs. The slope is that "
    "of the estimate on the truth: 1 means that the scores have the right size, 2 that they are "
    "twice as large as they should be."
)


def title(manifest: Manifest) -> str:
    """The heading of the report."""
    config = manifest.config
    what = "SAE feature scores" if config.units == "features" else "scores of whole nodes"
    return f"How faithful are {what}? {config.model} on {config.task}"


def sections(records: Records, pictures: Sequence[Picture]) -> list[Section]:
    """The whole report in order."""
    curves = [one for one in pictures if one.name.startswith("curves")]
    regimes = [one for one in pictures if one.name.startswith("regimes")]
    others = [one for one in pictures if one not in (*curves, *regimes)]
    return [
        question(records),
        Section("The answer", tuple(answer(records))),
        behaviour_section(records.manifest),
        *([] if records.nodes else [sae_quality(records.manifest)]),
        agreement(records, others),
        contrasts_section(records.findings.contrasts, records.words),
        *descriptive_sections(records.findings.contrasts),
        *regimes_section(records, regimes),
        *curves_section(records, curves),
        *certificates_section(records.certificates),
        *features_sections(records.features),
        *([] if records.nodes else [seed_section(records)]),
        costs_section(records),
        *by_site(records),
        details(records),
        repeat(records.manifest),
    ]


def question(records: Records) -> Section:
    """What was asked, of which model, in which words."""
    config, words = records.manifest.config, records.words
    return Section(
        "The question",
        (
            f"An attribution method gives {'every SAE' if not records.nodes else 'every'} "
            f"{words.one} a score from a backward pass or two. Does the score agree with what "
            f"happens when that one {words.one} is really changed?",
            f"Model `{config.model}`; {_units_at(records)}; task `{config.task}`, {config.n} "
            f"prompt pairs asked for, seed {config.seed}; behaviour metric `{config.metric}`.",
            "A **positive** score means that the unit supports the answer, in the unit of the "
            f"metric. {_unit_meaning(records)}",
            *_error_terms(records),
        ),
    )


def _units_at(records: Records) -> str:
    """Which units, and where."""
    found = {site for one in records.measured for site in np.unique(one.units.site).tolist()}
    if records.nodes:
        kinds = listed([f"`{kind}`" for kind in records.main_parts])
        return f"{records.words.kind} at {len(found)} sites ({kinds} of its layers)"
    saes = listed([f"`{one}`" for one in records.manifest.config.saes])
    return f"SAEs {saes} at {listed([f'`{site}`' for site in sorted(found)])}"


def _error_terms(records: Records) -> list[str]:
    """What the error terms of later SAEs do, where there are several SAEs."""
    config = records.manifest.config
    if len(records.manifest.sae_quality) < 2 or config.error_term not in ERROR_TERMS:
        return []
    return [
        "When a unit of one SAE is changed, the error terms of the SAEs at later sites "
        f"{ERROR_TERMS[config.error_term]} (`{config.error_term}`)."
    ]


def _unit_meaning(records: Records) -> str:
    if records.nodes:
        return (
            "A unit is a whole node: all of the activation at one site and one position that "
            "differs between the clean and the corrupted run. Where the two runs are the same a "
            "node scores zero by construction and never enters a correlation."
        )
    return (
        "A unit is one feature at one position that differs between the clean and the "
        "corrupted run; features that do not differ score zero by construction and never "
        "enter a correlation. What the SAE leaves unexplained at a position is its error "
        "unit: it is kept in every run, scored and drawn, and left out of the correlations."
    )


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
    if any(one.reads not in (None, site) for site, one in manifest.sae_quality.items()):
        warning += (
            " `A to B` is a transcoder: its features are of A, its units and its error are of B. A "
            "skip connection is no feature's and counts as error there, not in the variance."
        )
    return Section(
        heading,
        (
            "Measured on the very pairs used, from the first changed token on. The "
            "metric without error term is the clean one when the reconstruction alone replaces the "
            "activation; the error share is the part of the summed absolute effect that error "
            "units carry." + warning,
            *_trained_elsewhere(manifest),
            setup_tables.sae_table(manifest.sae_quality),
        ),
    )


def _trained_elsewhere(manifest: Manifest) -> list[str]:
    """Which SAEs name another model than the run's, where some do."""
    other = [
        f"that at `{site}` on `{one.trained_on}`"
        for site, one in manifest.sae_quality.items()
        if one.trained_on and model_key(one.trained_on) != model_key(manifest.config.model)
    ]
    if not other:
        return []
    return [
        f"By its own metadata the SAE was trained elsewhere: {listed(other)}; this run's model is "
        f"`{manifest.config.model}`. **Unless these are two names of one model, its features need "
        "not mean here what they meant there.**"
    ]


def agreement(records: Records, pictures: Sequence[Picture]) -> Section:
    """The headline tables, the ceilings and the figures."""
    truths = records.truths
    asked = [f"**{one.name}**: {ASKS[one.name]}" for one in truths if one.name in ASKS]
    return Section(
        "Agreement of estimate and truth",
        (
            "A truth is an effect measured by intervention, and each truth asks another question.",
            *asked,
            *_truths_correlate(records.measured),
            *([RELP_TABLE] if records.nodes else []),
            "Each table shows the estimates that were made for its truth: their slopes come from "
            "the run that the truth patches, or from both runs; a truth that looks at both runs "
            "takes them all. The intervals are bootstraps over prompt pairs: "
            f"these {records.words.many}, new prompts.",
            *(tables.headline_table(records, truth) for truth in truths),
            *_ceilings(records),
            *pictures,
        ),
    )


def _ceilings(records: Records) -> list[str | Table]:
    """What a perfect estimate could reach, and what that means."""
    if not records.findings.ceilings:
        return []
    return [
        "What could a perfect estimate reach? The **sampling ceiling** is for a truth that is "
        "estimated from random orders: noise that no estimate can follow; an exact truth has 1. "
        "The **split-half ceiling** is about other prompts: how well the mean effect of "
        f"{'a node' if records.nodes else 'a feature'} over half of the pairs repeats over the "
        "other half (Spearman-Brown corrected, square root). It limits what these effects say of "
        "prompts that were not measured, and not the agreement pair by pair in the tables above.",
        tables.ceiling_table(records),
    ]


def by_site(records: Records) -> list[Section]:
    """The agreement at each site, where the sites are too many for the headline."""
    found = [one for truth in records.truths for one in tables.site_tables(records, truth)]
    return [Section("Agreement site by site", tuple(found), folded=True)] if found else []


def details(records: Records) -> Section:
    """Reference material."""
    audit = records.manifest.rule_audit
    shown: list[str | Table] = [
        "Every measure, mean over pairs. More is better, but for the slope, of which 1 is best, "
        "and for the number of patches. A measure of size says nothing of a baseline that is not "
        "in the metric's unit, and stays empty there.",
        *(one for truth in records.truths for one in tables.full_tables(records, truth)),
        *(setup_tables.units_table(one.units, records.words) for one in records.measured[:1]),
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
            setup_tables.settings_table(manifest.config),
            setup_tables.weights_table(manifest),
            setup_tables.versions_table(made_by),
        ),
    )


def _truths_correlate(truths: Sequence[FeatureScores]) -> list[str]:
    """How far the truths agree with one another, in this run."""
    if len(truths) < 2:
        return []
    found = [
        f"{_mean_pearson(first, second)} for {first.name} and {second.name}"
        for first, second in combinations(truths, 2)
    ]
    return [
        "They need not agree with one another: here their Pearson, on average over the pairs, is "
        f"{listed(found)}. An estimate that is faithful to one can be wrong about the other."
    ]


def _mean_pearson(first: FeatureScores, second: FeatureScores) -> str:
    values, _ = pair_values(measures["pearson"], align(first, second))
    defined = values[np.isfinite(values)]
    return number(float(defined.mean())) if len(defined) else "undefined"
