"""Frozen records that travel between rooms and are saved, and the folder that holds them."""

from relp_sae.records.agreement import Agreement, Contrast, Interval
from relp_sae.records.folder import RunFolder
from relp_sae.records.manifest import Manifest, PrimaryContrast, RunConfig
from relp_sae.records.pairs import MeasuredPair, PromptPair
from relp_sae.records.scores import ERROR_UNIT, Base, FeatureScores, Kind, Units
from relp_sae.records.site import Site

__all__ = [
    "ERROR_UNIT",
    "Agreement",
    "Base",
    "Contrast",
    "FeatureScores",
    "Interval",
    "Kind",
    "Manifest",
    "MeasuredPair",
    "PrimaryContrast",
    "PromptPair",
    "RunConfig",
    "RunFolder",
    "Site",
    "Units",
]
