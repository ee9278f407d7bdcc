"""Everything that a report is made of, read from a run folder."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from relp_sae.records import (
    EVERYWHERE,
    Agreement,
    Ceiling,
    Certificate,
    FeatureCards,
    FeatureScores,
    Findings,
    Manifest,
    RunFolder,
)
from relp_sae.report.wording import UNITS, UnitWords

MOST_PARTS = 4
"""Up to so many parts stand side by side with the whole run; of more there are folded tables."""


@dataclass(frozen=True)
class Truth:
    """A truth that was compared with, and the run in whose context its units are changed."""

    name: str
    base: str

    def answered_from(self, base: str) -> bool:
        """Whether estimates of ``base`` are made for this truth: slopes of its run, or of both.

        >>> Truth("denoise", "corrupted").answered_from("clean")
        False
        >>> Truth("shapley", "both").answered_from("clean")
        True
        """
        return base == self.base or "both" in (base, self.base)


@dataclass(frozen=True)
class Records:
    """Everything that a run folder holds for the report."""

    manifest: Manifest
    scores: Sequence[FeatureScores]
    findings: Findings
    curves: pd.DataFrame | None = None
    certificates: Sequence[Certificate] = ()
    features: FeatureCards | None = None

    @property
    def measured(self) -> list[FeatureScores]:
        """The scores that were measured by intervention."""
        return [one for one in self.scores if one.kind == "truth"]

    @property
    def truths(self) -> list[Truth]:
        """The truths compared with, in the order of the records."""
        compared = {one.truth for one in self.findings.agreements}
        return [Truth(one.name, one.base) for one in self.measured if one.name in compared]

    def truth(self, name: str) -> Truth:
        """The truth of that name; one that was not measured takes every estimate."""
        return next((one for one in self.truths if one.name == name), Truth(name, "both"))

    @property
    def nodes(self) -> bool:
        """Whether the units are whole nodes."""
        return self.manifest.config.units == "nodes"

    @property
    def words(self) -> UnitWords:
        """How the units of this run are called."""
        return UNITS[self.manifest.config.units]

    @property
    def parts(self) -> list[str]:
        """The parts that were looked at, everywhere first."""
        return parts_of(self.findings.agreements)

    @property
    def main_parts(self) -> list[str]:
        """The parts that the headline shows.

        Of whole nodes the kinds of site, for a step of the stream and a block's output are
        different questions; of features all sites, and each by itself where they are few.
        """
        own = [part for part in self.parts if part != EVERYWHERE]
        if self.nodes and own:
            return own
        return [EVERYWHERE, *own] if len(own) <= MOST_PARTS else [EVERYWHERE]

    def ceiling(self, truth: str, part: str) -> Ceiling | None:
        """How well a perfect estimate of ``truth`` could do in ``part``."""
        wanted = (truth, part)
        return next((c for c in self.findings.ceilings if (c.truth, c.part) == wanted), None)


def read_records(folder: RunFolder) -> Records:
    """
    Raises:
        InputError: the folder lacks its scores or its agreement.
    """
    return Records(
        manifest=folder.read_manifest(),
        findings=folder.read_findings(),
        scores=folder.read_scores(),
        curves=folder.read_table("curves"),
        certificates=folder.read_certificates(),
        features=folder.read_features(),
    )


def parts_of(agreements: Sequence[Agreement]) -> list[str]:
    """The parts that were compared, in the order of the records."""
    return list(dict.fromkeys(one.part for one in agreements))


def some_of(names: Sequence[str], most: int) -> list[str]:
    """Up to ``most`` of the names, the first and the last among them, spread evenly.

    >>> some_of(["a", "b", "c", "d", "e"], 3)
    ['a', 'c', 'e']
    """
    if len(names) <= most:
        return list(names)
    step = (len(names) - 1) / (most - 1)
    return [names[round(i * step)] for i in range(most)]
