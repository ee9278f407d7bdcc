"""What passes over changed positions read of the positions before them, in every block."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from relp_sae.errors import InputError
from relp_sae.models import Earlier, LanguageModel, record_prompts
from relp_sae.models.products import Products
from relp_sae.records import PromptPair
from relp_sae.run.activations import Activations
from relp_sae.run.recent import Recent

KeysValues = tuple[Float[Tensor, "kv pos d_head"], Float[Tensor, "kv pos d_head"]]


@dataclass(frozen=True, eq=False)
class _Prefix:
    """Of one pair, by block; of the masks the pairs of a batch share theirs."""

    keys_values: dict[int, KeysValues]
    masks: dict[int, Float[Tensor, "query key"]]


class Prefixes:
    """Keys and values, from block ``first`` on, before the first changed token of each pair.

    Up to there its two runs are one, and so are all runs that a method makes of them. Kept are at
    most ``limit`` bytes, or one batch of pairs where that is more.
    """

    def __init__(
        self,
        model: LanguageModel,
        products: Products,
        pairs: Sequence[PromptPair],
        activations: Activations,
        first: int,
        limit: int,
    ) -> None:
        self._pairs, self._place = pairs, activations.place

        def make(batch: int) -> list[_Prefix]:
            members = activations.batches[batch]
            ids = torch.cat([model.token_ids(pairs[pair].clean_ids) for pair in members])
            entering = activations.entering(first, [(pair, True) for pair in members])
            with products.faster(model, slice(first, None), backward=True):
                _, met = record_prompts(model, ids, [first], entering)
            masks = _shared({block: one.mask for block, one in met.items()})
            ends = [pairs[pair].first_change for pair in members]
            return [
                _Prefix(
                    {
                        block: (_until(one.key[row], end), _until(one.value[row], end))
                        for block, one in met.items()
                    },
                    masks,
                )
                for row, end in enumerate(ends)
            ]

        self._made = Recent(make, _nbytes, limit)

    def find(self, pairs: Sequence[int]) -> None:
        """Have what is known of these pairs made now; what memory has no room for comes again."""
        for pair in pairs:
            self._of(pair)

    def _of(self, pair: int) -> _Prefix:
        batch, row = self._place[pair]
        return self._made[batch][row]

    def changed(self, pairs: Sequence[int]) -> int:
        """How many positions, counted from the last one, hold every change of these pairs."""
        prompts = [self._pairs[pair] for pair in pairs]
        return max(len(one.clean_ids) - one.first_change for one in prompts)

    def starts(self, pairs: Sequence[int]) -> list[int]:
        """The first of these positions in each pair's prompts.

        Raises:
            InputError: one of the prompts is shorter than the part that changes in another.
        """
        changed, lengths = self.changed(pairs), [len(self._pairs[pair].clean_ids) for pair in pairs]
        if changed > min(lengths):
            raise InputError(
                f"A prompt of {min(lengths)} tokens cannot be scored in one batch with a pair that "
                f"changes in the last {changed}."
            )
        return [length - changed for length in lengths]

    def earlier(self, pairs: Sequence[int], rows: int) -> dict[int, Earlier]:
        """What ``rows`` runs of each pair, side by side, read of the positions before, by block.

        Those of shorter prompts are filled up from the left with what nobody sees.
        """
        made, starts = [self._of(pair) for pair in pairs], self.starts(pairs)
        missing = [max(starts) - start for start in starts]

        def keys_or_values(block: int, which: int) -> Float[Tensor, "pair kv pos d_head"]:
            known = [one.keys_values[block][which] for one in made]
            parts = zip(known, starts, missing, strict=True)
            return torch.stack([pad(x[:, :start], (0, 0, fill, 0)) for x, start, fill in parts])

        def mask(block: int) -> Float[Tensor, "pair query key"]:
            parts = zip([one.masks[block] for one in made], starts, missing, strict=True)
            return torch.stack(
                [pad(x[at:], (fill, 0), value=torch.finfo(x.dtype).min) for x, at, fill in parts]
            )

        masks: dict[int, Tensor] = {}  # one for all blocks that share theirs
        for block, one in made[0].masks.items():
            if id(one) not in masks:
                masks[id(one)] = mask(block)
        return {
            block: Earlier(keys_or_values(block, 0), keys_or_values(block, 1), masks[id(one)], rows)
            for block, one in made[0].masks.items()
        }


def _until(x: Float[Tensor, "kv pos d_head"], end: int) -> Float[Tensor, "kv end d_head"]:
    return x[:, :end].clone()


def _shared(masks: dict[int, Tensor]) -> dict[int, Tensor]:
    """The masks by block, equal ones as one tensor: most families have one, or one of each kind."""
    found: list[Tensor] = []
    for mask in masks.values():
        if not any(torch.equal(mask, one) for one in found):
            found.append(mask)
    return {b: next(x for x in found if torch.equal(x, mask)) for b, mask in masks.items()}


def _nbytes(batch: list[_Prefix]) -> int:
    masks = {id(mask): mask.nbytes for mask in batch[0].masks.values()}
    kept = [x for one in batch for both in one.keys_values.values() for x in both]
    return sum(masks.values()) + sum(x.nbytes for x in kept)
