"""RelP-SAE: how faithful are cheap attribution scores of SAE features to exact intervention?

What needs torch loads on first use, so that ``relp-sae --help`` answers at once. The lists of
tasks and metrics have the names of their rooms, so they are bound here, after those are imported.
"""

import importlib
from typing import TYPE_CHECKING, Any

from relp_sae.metrics import metrics
from relp_sae.tasks import tasks

if TYPE_CHECKING:
    from relp_sae.attribution import attribute, methods
    from relp_sae.experiment import findings, run_experiment
    from relp_sae.faithfulness import compare
    from relp_sae.features import CardSettings, feature_cards
    from relp_sae.models import load_model
    from relp_sae.patching import circuit_curves, patch, truths
    from relp_sae.records import RunConfig, RunFolder
    from relp_sae.report import show
    from relp_sae.run import PairedRun
    from relp_sae.saes import error_terms, load_saes
    from relp_sae.training import TrainingConfig, documents, train_sae

_ROOMS = {
    "CardSettings": "features",
    "PairedRun": "run",
    "RunConfig": "records",
    "RunFolder": "records",
    "TrainingConfig": "training",
    "attribute": "attribution",
    "circuit_curves": "patching",
    "compare": "faithfulness",
    "documents": "training",
    "error_terms": "saes",
    "feature_cards": "features",
    "findings": "experiment",
    "load_model": "models",
    "load_saes": "saes",
    "methods": "attribution",
    "patch": "patching",
    "run_experiment": "experiment",
    "show": "report",
    "train_sae": "training",
    "truths": "patching",
}

__all__ = [
    "CardSettings",
    "PairedRun",
    "RunConfig",
    "RunFolder",
    "TrainingConfig",
    "attribute",
    "circuit_curves",
    "compare",
    "documents",
    "error_terms",
    "feature_cards",
    "findings",
    "load_model",
    "load_saes",
    "methods",
    "metrics",
    "patch",
    "run_experiment",
    "show",
    "tasks",
    "train_sae",
    "truths",
]


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module 'relp_sae' has no attribute '{name}'")
    return getattr(importlib.import_module(f"relp_sae.{_ROOMS[name]}"), name)
