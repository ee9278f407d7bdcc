"""What a finished run's strongest features mean: its model and SAEs again, and a text."""

from collections.abc import Callable
from dataclasses import replace

from relp_sae.experiment.loading import load_inputs
from relp_sae.experiment.progress import Progress, silent
from relp_sae.faithfulness.declared import BASELINES
from relp_sae.features import CardSettings, feature_cards, require_features
from relp_sae.records import FeatureCards, RunFolder
from relp_sae.training import documents

TICK = 1000
"""Tokens that a step of the progress stands for."""


def describe_features(
    folder: RunFolder, data: str, settings: CardSettings, progress: Progress = silent
) -> FeatureCards:
    """Save ``features.json``: what the strongest features fire on in a text, and promote.

    Without ``settings.methods`` the rankings are those of all estimates but the baselines.

    Raises:
        InputError: a run without scores or of whole nodes, text that cannot be read or is too
            short, or a model or SAE that changed since the run.
    """
    require_features(folder)
    methods = settings.methods or tuple(
        one.name
        for one in folder.read_scores()
        if one.kind == "estimate" and one.name.partition(":")[0] not in BASELINES
    )
    config = folder.read_manifest().config
    model, dictionaries = load_inputs(config)
    cards = feature_cards(
        folder,
        model,
        dictionaries,
        documents(data, model, config.seed),
        replace(settings, methods=methods),
        _counting(settings.tokens, progress),
    )
    folder.write_features(cards)
    return cards


def _counting(tokens: int, progress: Progress) -> Callable[[int], None]:
    """Progress over tokens, told how many new ones were read."""
    steps = iter(progress("thousands of tokens", range(-(-tokens // TICK))))
    read = 0

    def count(new: int) -> None:
        nonlocal read
        before, read = read, read + new
        for _ in range(before // TICK, read // TICK):
            next(steps, None)

    return count
