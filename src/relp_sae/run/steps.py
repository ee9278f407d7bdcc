"""The steps of a pair: what each unit adds to the stream between the corrupted and clean run."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from relp_sae.records import Site
from relp_sae.saes import Dictionary
from relp_sae.tensors import Decoder, Steps


@dataclass(frozen=True, eq=False)
class PairSteps:
    """The units of one pair at one site, ordered by position, the remainder of each last.

    The remainder is the error unit of an SAE, or the whole node. A position where the two runs
    agree (an unchanged token at resid_pre.0) has no unit.

    ``delta`` is f_clean - f_corrupted, or the norm of the remainder's step; ``remainders`` are the
    steps of the remainders alone, in their order; ``relative`` is the length of each unit's step
    over that of x_corrupted at its position.
    """

    site: Site
    pos: Int[Tensor, "units"]
    feature: Int[Tensor, "units"]
    delta: Float[Tensor, "units"]
    relative: Float[Tensor, "units"]
    remainders: Float[Tensor, "remainders d_model"]
    W_dec: Decoder

    @property
    def vector(self) -> Steps:
        """The step of each unit: ``delta * W_dec[feature]``, or e_clean - e_corrupted.

        The steps of a position sum to x_clean - x_corrupted. Made anew at each request: kept for
        all pairs they would fill the memory.
        """
        steps = self.remainders.new_empty(len(self.pos), self.remainders.shape[1])
        is_remainder = (self.feature < 0).to(steps.device)
        steps[is_remainder] = self.remainders
        features = self.feature[self.feature >= 0].to(steps.device)
        steps[~is_remainder] = self.delta[~is_remainder, None] * self.W_dec[features]
        return steps


@torch.no_grad()
def pair_steps(
    dictionary: Dictionary,
    clean: Float[Tensor, "pos d_model"],
    corrupted: Float[Tensor, "pos d_model"],
    start: int,
) -> PairSteps:
    """Decompose x_clean - x_corrupted from position ``start`` on into units of the dictionary."""
    change = clean[start:] - corrupted[start:]
    features_clean = dictionary.encode(clean[None, start:]).features[0]
    features_corrupted = dictionary.encode(corrupted[None, start:]).features[0]
    delta = features_clean - features_corrupted
    lengths = corrupted[start:].norm(dim=-1)
    pos, feature, deltas, relative, remainders = [], [], [], [], []
    for offset, length in enumerate(lengths):
        active = delta[offset].nonzero()[:, 0]
        steps = delta[offset, active, None] * dictionary.W_dec[active]
        remainder = change[offset] - steps.sum(0)
        values = torch.cat([delta[offset, active], remainder.norm()[None]])
        norms = torch.cat([steps.norm(dim=-1), remainder.norm()[None]])
        there = values != 0  # all but the remainder of a position where the two runs agree
        pos.append(torch.full((int(there.sum()),), start + offset))
        index = torch.cat([active.cpu(), torch.tensor([dictionary.remainder])])
        feature.append(index[there.cpu()])
        deltas.append(values[there])
        relative.append((norms / length)[there])
        remainders.append(remainder[None][there[-1:]])
    return PairSteps(
        site=dictionary.site,
        pos=torch.cat(pos),
        feature=torch.cat(feature),
        delta=torch.cat(deltas),
        relative=torch.cat(relative),
        remainders=torch.cat(remainders),
        W_dec=dictionary.W_dec,
    )
