"""The run itself as tables: behaviour, SAEs, units, rules, time."""

from collections.abc import Mapping

import numpy as np

from relp_sae.faithfulness import parts
from relp_sae.records import EVERYWHERE, Units
from relp_sae.records.manifest import (
    Behaviour,
    Manifest,
    Provenance,
    RoleAudit,
    RunConfig,
    SaeQuality,
    Stage,
)
from relp_sae.report.blocks import Table
from relp_sae.report.wording import UnitWords, number, percent, table


def behaviour_table(behaviour: Behaviour) -> Table:
    """Accuracy and mean metric of both runs, over all measured pairs."""
    rows = [
        ("clean", percent(behaviour.clean_accuracy), number(behaviour.clean_metric, 2)),
        ("corrupted", percent(behaviour.corrupted_accuracy), number(behaviour.corrupted_metric, 2)),
    ]
    return table(
        f"Behaviour on the {behaviour.measured} measured pairs",
        ("prompt", "answer beats foil", "mean metric"),
        rows,
    )


def dropped_table(behaviour: Behaviour) -> Table:
    """How many pairs are left out, and why."""
    rows = [("kept", behaviour.kept), *behaviour.dropped.items()]
    return table("Pairs kept, and pairs left out by reason", ("reason", "pairs"), rows)


def sae_table(quality: Mapping[str, SaeQuality]) -> Table:
    """One row per site: how well the SAE describes the activations of these very pairs."""
    truths = list(dict.fromkeys(truth for one in quality.values() for truth in one.error_share))
    rows = [
        (
            site if one.reads in (None, site) else f"{one.reads} to {site}",
            number(one.l0, 1),
            number(one.explained_variance),
            number(one.clean_metric, 2),
            number(one.spliced_clean_metric, 2),
            *(percent(one.error_share[t]) if t in one.error_share else "-" for t in truths),
        )
        for site, one in quality.items()
    ]
    header = (
        "site",
        "L0",
        "variance explained",
        "clean metric",
        "without error term",
        *(f"error share, {truth}" for truth in truths),
    )
    return table("SAE quality on the pairs used", header, rows)


def settings_table(config: RunConfig) -> Table:
    """How runs were computed, and what was held in them."""
    rows = [
        *([("error terms of later SAEs", config.error_term)] if config.units == "features" else []),
        ("engine", config.engine),
        ("slopes at", config.base),
        ("seed", config.seed),
    ]
    return table("Settings", ("setting", "value"), rows, labels=2)


def weights_table(manifest: Manifest) -> Table:
    """The very files that were used."""
    rows = [
        ("model", manifest.config.model, manifest.provenance.model_sha256),
        *((site, one.source, one.sha256) for site, one in manifest.sae_quality.items()),
    ]
    return table("Weights", ("part", "source", "sha256"), rows, labels=3)


def units_table(units: Units, words: UnitWords) -> Table:
    """How many units differ between the two runs of a pair, per site (nodes: per kind of site)."""
    found = parts(units)
    rows = []
    for part, here in found.items():
        if part == EVERYWHERE and len(found) > 1:
            continue
        name = str(units.site[0]) if part == EVERYWHERE else part
        for called, chosen in ((words.many, ~units.is_error), ("error units", units.is_error)):
            _, counts = np.unique(units.pair[here & chosen], return_counts=True)
            if len(counts):
                middle = number(float(np.median(counts)), 1)
                ends = (int(counts.min()), int(counts.max()), int(counts.sum()))
                rows.append((name, called, middle, *ends))
    header = ("at", "units", "median per pair", "fewest", "most", "all pairs")
    return table("Units that differ between the two runs", header, rows, labels=2)


def audit_table(audit: Mapping[str, Mapping[str, RoleAudit]]) -> Table:
    """Where each rule fired; a place without its rule would make the estimate another method."""
    rows = [
        (estimate, role, one.rule, f"{one.fired} of {one.expected}")
        for estimate, roles in audit.items()
        for role, one in roles.items()
    ]
    header = ("estimate", "role", "rule", "fired at")
    return table("Places where each rule fired", header, rows, labels=3)


def timing_table(stages: Mapping[str, Stage]) -> Table:
    """Seconds per stage."""
    rows = [(name, one.status, number(one.seconds, 1)) for name, one in stages.items()]
    return table("Time per stage", ("stage", "status", "seconds"), rows, labels=2)


def versions_table(made_by: Provenance) -> Table:
    """What the run was made with."""
    rows = [
        ("relp-sae", made_by.relp_sae),
        ("Python", made_by.python),
        *sorted(made_by.packages.items()),
    ]
    return table("Versions", ("package", "version"), rows, labels=2)
