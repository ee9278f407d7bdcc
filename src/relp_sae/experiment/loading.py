"""The model of a run and the dictionaries that its units are of."""

from relp_sae.models import LanguageModel, load_model
from relp_sae.records import RunConfig, Site
from relp_sae.saes import Dictionary, load_saes, whole_nodes


def load_inputs(config: RunConfig) -> tuple[LanguageModel, dict[Site, Dictionary]]:
    """The model, and its dictionaries by site: the run's SAEs, or whole nodes.

    Raises:
        InputError: something that cannot be loaded.
    """
    weights = {
        "device": config.device,
        "dtype": config.dtype,
        "allow_pickle": config.allow_pickle,
    }
    model = load_model(config.model, trust_remote_code=config.trust_remote_code, **weights)
    if config.units == "nodes":
        return model, whole_nodes(model)
    return model, load_saes(config.saes, sites=config.sites or None, **weights)
