"""What a run's cards need: features, the run's own model and SAEs, methods that it has."""

from collections.abc import Mapping, Sequence

from relp_sae.errors import InputError
from relp_sae.features.ranking import Ranking
from relp_sae.models import LanguageModel
from relp_sae.records import RunFolder, Site
from relp_sae.registry import suggestion
from relp_sae.saes import Dictionary


def require_features(folder: RunFolder) -> None:
    """Check that a run is of features.

    Raises:
        InputError: it is of whole nodes.
    """
    if folder.read_manifest().config.units == "nodes":
        raise InputError(
            f"{folder.path} is of whole nodes (--units nodes), which have no features to show. "
            "Make a run with an SAE."
        )


def chosen_rankings(rankings: Sequence[Ranking], methods: Sequence[str]) -> list[Ranking]:
    """The truths' rankings, then those of the methods asked for.

    Raises:
        InputError: a method that was not run.
    """
    truths = [one for one in rankings if one.score.kind == "truth"]
    estimates = [one for one in rankings if one.score.kind == "estimate"]
    known = dict.fromkeys(name for one in estimates for name in (one.score.name, one.score.label))
    for name in methods:
        if name not in known:
            raise InputError(
                f"The run has no estimate '{name}'. {suggestion(name, known)}It has: "
                f"{', '.join(known) or 'none'}."
            )
    wanted = [
        one for one in estimates if not methods or {one.score.name, one.score.label} & {*methods}
    ]
    return truths + wanted


def require_inputs(
    folder: RunFolder, model: LanguageModel, saes: Mapping[Site, Dictionary]
) -> None:
    """Check that a model and its SAEs are those of a run.

    Raises:
        InputError: other weights.
    """
    manifest = folder.read_manifest()
    if model.sha256() != manifest.provenance.model_sha256:
        raise InputError(
            f"{model.name} has other weights than when {folder.path} was made, so its features "
            "may mean something else. Give the model of the run, or run again."
        )
    for name, measured in manifest.sae_quality.items():
        dictionary = saes.get(Site.parse(name))
        if dictionary is None or dictionary.sha256() != measured.sha256:
            found = "none" if dictionary is None else dictionary.source
            raise InputError(
                f"The SAE at {name} is not the one that {folder.path} was made with "
                f"({measured.source}): here it is {found}. Give the SAE of the run, or run again."
            )
