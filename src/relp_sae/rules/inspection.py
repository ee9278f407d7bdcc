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
    the ``logit`` of the most likely token of the last prompt. The two are equal (conservation)
    only where every nonlinear step has a rule and no layer has a bias. For a two-point composite
    both are changes from the prompt before, and always equal (completeness).
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
    """Run token ids (prompt, pos) forward and backward under a composite; two-point ones need 2.

    Raises:
        InputError: a single prompt for a two-point composite.
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

    applied = composite.applied(model, rows=len(ids))  # all prompts are one path
    with applied as audit, at_sites(model, {Site(0, "resid_pre"): add}):
        logits = model.last_logits(ids)
        top = logits[-1].argmax()
        (slope,) = torch.autograd.grad(logits[-1, top], added)
    x, logit = entry[0][-1], logits[-1, top]
    if composite.two_point:
        x, logit = x - entry[0][-2], logit - logits[-2, top]
    return Inspection(
        audit={role: (composite.table[role], *counts) for role, counts in audit.by_role().items()},
        same_logits=torch.equal(plain, logits),
        relevance=(slope[-1] * x).double().sum().item(),
        logit=logit.item(),
    )
