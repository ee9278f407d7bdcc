"""The steps of a pair: what each unit adds to the stream between the corrupted and clean run."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from relp_sae.records import ERROR_UNIT, Site
from relp_sae.saes import Dictionary
from relp_sae.tensors import Steps


@dataclass(frozen=True)
class PairSteps:
    """The units of one pair at one site, ordered by position, the error unit of each last.

    A position where the two runs agree (an unchanged token at resid_pre.0) has no unit.

    ``vector[u]`` is the step of unit u: ``delta * W_dec[feature]`` for a feature and
    e_clean - e_corrupted for the error unit, so the steps of a position sum to
    x_clean - x_corrupted. ``delta`` is f_clean - f_corrupted, or the norm of the error's step.
    """

    site: Site
    pos: Int[Tensor, "units"]
    feature: Int[Tensor, "units"]
    delta: Float[Tensor, "units"]
    vector: Steps


@torch.no_grad()
def pair_steps(
    dictionary: Dictionary,
    clean: Float[Tensor, "pos d_model"],
    corrupted: Float[Tensor, "pos d_model"],
    start: int,
) -> PairSteps:
    """Decompose x_clean - x_corrupted from position ``start`` on into units of the dictionary."""
    positions = range(start, len(clean))
    change = clean[start:] - corrupted[start:]
    features_clean = dictionary.encode(clean[None, start:]).features[0]
    features_corrupted = dictionary.encode(corrupted[None, start:]).features[0]
    delta = features_clean - features_corrupted
    pos, feature, deltas, vectors = [], [], [], []
    for offset, position in enumerate(positions):
        active = delta[offset].nonzero()[:, 0]
        steps = delta[offset, active, None] * dictionary.W_dec[active]
        error = change[offset] - steps.sum(0)
        values = torch.cat([delta[offset, active], error.norm()[None]])
        there = values != 0  # all but the error of a position where the two runs agree
        pos.append(torch.full((int(there.sum()),), position))
        feature.append(torch.cat([active.cpu(), torch.tensor([ERROR_UNIT])])[there.cpu()])
        deltas.append(values[there])
        vectors.append(torch.cat([steps, error[None]])[there])
    return PairSteps(
        dictionary.site, torch.cat(pos), torch.cat(feature), torch.cat(deltas), torch.cat(vectors)
    )
