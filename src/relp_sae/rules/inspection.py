"""Does a composite do on a model what it says? Used by ``check`` and at the start of every run."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from relp_sae.errors import RunError
from relp_sae.models import LanguageModel, at_sites
from relp_sae.records import Site
from relp_sae.rules.composite import composites
from relp_sae.tensors import Tokens


@dataclass(frozen=True)
class Inspection:
    """What one pass under a composite shows.

    ``audit`` maps a role to (rule, places it fired at, places there are); ``same_logits``: equal
    bit for bit to those without rules; ``relevance`` is sum(slope * x) of the block-0 input for
    the ``logit`` of the most likely token. The two are equal (conservation) only where every
    nonlinear step has a rule and no layer has a bias.
    """

    audit: Mapping[str, tuple[str, int, int]]
    same_logits: bool
    relevance: float
    logit: float

    def require_same_logits(self) -> None:
        """Check that the rules changed no value.

        Raises:
            RunError: the logits differ, so the scores would be about another model.
        """
        if not self.same_logits:
            raise RunError("Under the rules the logits differ from those of the untouched model.")


def inspect_composite(model: LanguageModel, name: str, ids: Tokens) -> Inspection:
    """Run token ids (1, pos) forward and backward under a composite.

    Raises:
        RunError: a rule did not fire at every place of its role.
    """
    composite = composites[name]
    with torch.no_grad():
        plain = model.last_logits(ids)
    entry: list[torch.Tensor] = []
    shape = (*ids.shape, model.d_model)
    added = torch.zeros(shape, device=model.device, dtype=model.dtype, requires_grad=True)

    def add(x: torch.Tensor) -> torch.Tensor:
        entry.append(x.detach())
        return added

    with composite.applied(model) as audit, at_sites(model, {Site(0, "resid_pre"): add}):
        logits = model.last_logits(ids)
        top = logits[0].max()
        (slope,) = torch.autograd.grad(top, added)
    return Inspection(
        audit={role: (composite.table[role], *counts) for role, counts in audit.by_role().items()},
        same_logits=torch.equal(plain, logits),
        relevance=(slope * entry[0]).double().sum().item(),
        logit=top.item(),
    )
