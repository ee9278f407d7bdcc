"""The steps of a pair: what each unit adds at its site between the corrupted and clean run."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import embedding_bag

from relp_sae.records import Site
from relp_sae.saes import Dictionary
from relp_sae.saes.dictionary import FEATURE_BYTES, positions_at_once
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
        return self.vectors(torch.arange(len(self.pos)))

    def vectors(self, rows: Int[Tensor, "chosen"]) -> Float[Tensor, "chosen d_model"]:
        """The steps of the units at ``rows`` alone, in that order."""
        device = self.remainders.device
        is_remainder = self.feature < 0
        remainder = (is_remainder.cumsum(0) - 1)[rows].to(device)
        is_remainder, feature = is_remainder[rows].to(device), self.feature[rows].to(device)
        delta = self.delta[rows.to(device)]
        steps = self.remainders.new_empty(len(rows), self.remainders.shape[1])
        steps[is_remainder] = self.remainders[remainder[is_remainder]]
        steps[~is_remainder] = delta[~is_remainder, None] * self.W_dec[feature[~is_remainder]]
        return steps

    @property
    def nbytes(self) -> int:
        """The size in bytes; the decoder belongs to the dictionary and is not counted."""
        own = (self.pos, self.feature, self.delta, self.relative, self.remainders)
        return sum(tensor.nbytes for tensor in own)


@dataclass(frozen=True, eq=False)
class Seen:
    """One run's activations where a dictionary reads and where it writes; the same for an SAE."""

    read: Float[Tensor, "pos d_in"]
    written: Float[Tensor, "pos d_out"]

    def part(self, start: int, end: int) -> "Seen":
        """The positions from ``start`` to before ``end``."""
        return Seen(self.read[start:end], self.written[start:end])


@torch.no_grad()
def pair_steps(dictionary: Dictionary, clean: Seen, corrupted: Seen, start: int) -> PairSteps:
    """Decompose x_clean - x_corrupted from position ``start`` on into units of the dictionary.

    So many positions at a time that their features, dense, stay small (see ``FEATURE_BYTES``).
    """
    most = positions_at_once(dictionary)
    parts = [
        _steps_from(dictionary, clean.part(at, at + most), corrupted.part(at, at + most), at)
        for at in range(start, len(clean.written), most)
    ]
    return PairSteps(
        site=dictionary.site,
        pos=torch.cat([part.pos for part in parts]),
        feature=torch.cat([part.feature for part in parts]),
        delta=torch.cat([part.delta for part in parts]),
        relative=torch.cat([part.relative for part in parts]),
        remainders=torch.cat([part.remainders for part in parts]),
        W_dec=dictionary.W_dec,
    )


def _steps_from(dictionary: Dictionary, clean: Seen, corrupted: Seen, first: int) -> PairSteps:
    """The steps of a few positions, of which ``first`` is the first one."""
    # Two calls of one shape: rows that are equal in both runs then have bit-equal features.
    delta = dictionary.encode(clean.read).features - dictionary.encode(corrupted.read).features
    at, feature = delta.nonzero(as_tuple=True)  # by position, then by feature
    values, positions = delta[at, feature], torch.arange(len(delta), device=at.device)
    counts = torch.bincount(at, minlength=len(delta))
    ends = counts.cumsum(0)
    summed = embedding_bag(
        feature, dictionary.W_dec, ends - counts, mode="sum", per_sample_weights=values
    )
    remainder = clean.written - corrupted.written - summed
    norms = remainder.norm(dim=-1)
    # Each position's remainder comes after its features, so those move up by one a position.
    rows, last = torch.arange(len(at), device=at.device) + at, ends + positions
    units = len(at) + len(delta)

    def joined(features: Tensor, remainders: Tensor) -> Tensor:
        both = remainders.new_empty(units)
        both[rows], both[last] = features, remainders
        return both

    deltas, pos = joined(values, norms), joined(at, positions)
    index = joined(feature, torch.full_like(positions, dictionary.remainder))
    lengths = joined(values.abs() * _row_norms(dictionary.W_dec, feature), norms)
    there = deltas != 0  # all but the remainder of a position where the two runs agree
    return PairSteps(
        site=dictionary.site,
        pos=(first + pos[there]).cpu(),
        feature=index[there].cpu(),
        delta=deltas[there],
        relative=(lengths / corrupted.written.norm(dim=-1)[pos])[there],
        remainders=remainder[norms != 0],
        W_dec=dictionary.W_dec,
    )


def _row_norms(W_dec: Decoder, feature: Int[Tensor, "units"]) -> Float[Tensor, "units"]:
    """|W_dec[feature]|, copying so many rows at a time that they stay small."""
    rows = max(1, FEATURE_BYTES // (W_dec.shape[1] * W_dec.element_size()))
    return torch.cat([W_dec[part].norm(dim=-1) for part in feature.split(rows)])
