"""Frozen records that travel between rooms and are saved, and the folder that holds them."""

from relp_sae.records.agreement import (
    EVERYWHERE,
    Agreement,
    Ceiling,
    Contrast,
    CurveArea,
    DependentTest,
    Findings,
    Interval,
    RegimePoint,
)
from relp_sae.records.certificate import Certificate, Recall
from relp_sae.records.features import CardScore, Context, FeatureCard, FeatureCards, MovedToken
from relp_sae.records.folder import RunFolder
from relp_sae.records.manifest import Manifest, PrimaryContrast, RunConfig
from relp_sae.records.pairs import MeasuredPair, PromptPair
from relp_sae.records.scores import (
    ERROR_UNIT,
    WHOLE_NODE,
    Base,
    FeatureScores,
    Kind,
    Units,
)
from relp_sae.records.site import Site

__all__ = [
    "ERROR_UNIT",
    "EVERYWHERE",
    "WHOLE_NODE",
    "Agreement",
    "Base",
    "CardScore",
    "Ceiling",
    "Certificate",
    "Context",
    "Contrast",
    "CurveArea",
    "DependentTest",
    "FeatureCard",
    "FeatureCards",
    "FeatureScores",
    "Findings",
    "Interval",
    "Kind",
    "Manifest",
    "MeasuredPair",
    "MovedToken",
    "PrimaryContrast",
    "PromptPair",
    "Recall",
    "RegimePoint",
    "RunConfig",
    "RunFolder",
    "Site",
    "Units",
]
