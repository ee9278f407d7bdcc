"""Does a family's declaration fit the model? Checked once at load, by running it."""

from collections import Counter

import torch

from relp_sae.errors import RunError
from relp_sae.models.family import Role
from relp_sae.models.language_model import LanguageModel
from relp_sae.models.sites import at_sites
from relp_sae.records import Site
from relp_sae.records.site import KINDS


@torch.no_grad()
def verify(model: LanguageModel) -> None:
    """Check that every declared part exists, runs once a pass, and that every site kind matters.

    Raises:
        InputError: a declared part is missing.
        RunError: a part did not run exactly once, or adding to a site did not move the logits.
    """
    ids = torch.arange(1, 5, device=model.device)[None] % model.config.vocab_size
    _verify_roles(model, ids)
    for layer in sorted({0, model.n_layers // 2, model.n_layers - 1}):
        for kind in KINDS:
            _verify_site(model, Site(layer, kind), ids)


def _verify_roles(model: LanguageModel, ids: torch.Tensor) -> None:
    places = [place for role in Role for place in model.places(role)]
    modules = {id(m): m for place in places for m in (place.module, *place.branches)}
    runs: Counter[int] = Counter()
    handles = [
        module.register_forward_hook(lambda m, _args, _out: runs.update([id(m)]))
        for module in modules.values()
    ]
    try:
        model.last_logits(ids)
    finally:
        for handle in handles:
            handle.remove()
    for place in places:
        for module in (place.module, *place.branches):
            if runs[id(module)] != 1:
                raise RunError(
                    f"{model.name}: the {place.role} at {place.name} ran {runs[id(module)]} times "
                    "in one forward pass, expected once. The family's declaration does not fit."
                )


def _verify_site(model: LanguageModel, site: Site, ids: torch.Tensor) -> None:
    before = model.last_logits(ids)
    with at_sites(model, {site: lambda x: x.std() * torch.sign(torch.randn_like(x)) + 0.1}):
        after = model.last_logits(ids)
    if torch.equal(before, after):
        raise RunError(
            f"{model.name}: adding to {site} does not change the logits. "
            "The family's declaration does not fit."
        )
