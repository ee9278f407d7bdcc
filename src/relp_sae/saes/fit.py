"""Does a dictionary belong to a model?"""

import logging
from pathlib import Path

from relp_sae.catalogue import model_key, releases
from relp_sae.errors import InputError
from relp_sae.models import LanguageModel
from relp_sae.saes.dictionary import Dictionary
from relp_sae.saes.sae_lens_dictionary import SaeLensDictionary

log = logging.getLogger("relp_sae")


def require_fit(dictionary: Dictionary, model: LanguageModel) -> None:
    """Check that a dictionary can be used with a model.

    Raises:
        InputError: a site that the model has not, another width than the model has at the sites
            where the dictionary reads and writes, another device or dtype, or a centred stream
            where nothing is centred.
    """
    source, weights = dictionary.source, dictionary.W_dec
    widths = {"d_in": (dictionary.reads, dictionary.d_in)}
    if dictionary.reads != dictionary.site:
        widths["d_out"] = (dictionary.site, weights.shape[1])
    for name, (site, found) in widths.items():
        try:
            model.require_site(site)
        except InputError as error:
            raise InputError(f"{source} is for the site {site}. {error}") from error
        if found != model.width(site):
            owner = dictionary.model_name or "unnamed"
            raise InputError(
                f"{source} has {name} = {found}, but {model.name} is {model.width(site)} wide at "
                f"{site}: this SAE is for another model ({owner})."
            )
    if (weights.dtype, weights.device) != (model.dtype, model.device):
        raise InputError(
            f"{source} is {weights.dtype} on {weights.device}, {model.name} is {model.dtype} on "
            f"{model.device}. Load both with the same device and dtype."
        )
    centred = isinstance(dictionary, SaeLensDictionary) and dictionary.centred
    if centred and not model.norm.centred:
        raise InputError(
            f"{source} says that its stream was centred (center_writing_weights), which "
            f"TransformerLens does to models with LayerNorm only; {model.name} has RMSNorm. If "
            "the SAE is for this model, set center_writing_weights to false in its cfg.json."
        )


def require_same_model(
    dictionary: Dictionary, model: LanguageModel, *, allow_other: bool = False
) -> None:
    """Check that a dictionary was trained on the model, as far as their names tell.

    Models of equal width are easily confused (GPT-2 small and Pythia-160m have 768), and then
    every figure looks like a result. So what is known to be another model is refused, unless
    ``allow_other``, which is for SAEs that are carried over on purpose (from a base model to its
    instruct variant) and logs a warning. The name of a local folder says nothing certain, so with
    one nothing is refused; the report names both where they differ.

    Raises:
        InputError: the names are those of two models.
    """
    names = {dictionary.model_name, _published_for(dictionary.source)} - {""}
    if not names or model_key(model.name) in map(model_key, names) or _is_path(model.name):
        return
    if any(map(_is_path, names)):
        return
    trained_on = " or ".join(sorted(names))
    sentence = f"{dictionary.source} was trained on {trained_on}, but the model is {model.name}."
    if not allow_other:
        raise InputError(
            f"{sentence} Its features mean nothing there in general. Use an SAE of this model "
            f"(relp-sae list saes --model {model.name}); if you carry it over on purpose, add "
            "--allow-other-model, which the run's record keeps."
        )
    log.warning("%s It is used all the same, as asked for.", sentence)


def _published_for(source: str) -> str:
    """The model that SAELens' registry names for ``RELEASE/ID``; empty for anything else."""
    if "/" not in source or Path(source).exists():
        return ""
    release = releases().get(source.partition("/")[0])
    return "" if release is None else release.model


def _is_path(name: str) -> bool:
    """Is it a place on some disk, not a name that people share?"""
    return Path(name).is_absolute() or name.startswith(".") or Path(name).is_dir()
