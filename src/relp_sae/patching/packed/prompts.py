"""What changed runs share with their unchanged prompt: stream, keys and values, and mask."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from relp_sae.errors import RunError
from relp_sae.models import LanguageModel, at_sites, started_at
from relp_sae.models.attention import AttentionFunction
from relp_sae.models.family import Role
from relp_sae.models.products import Products
from relp_sae.patching.packed.attend import attend, constants
from relp_sae.records import Site
from relp_sae.run import PairedRun
from relp_sae.tensors import Resid, Tokens

PromptKeysValues = tuple[Float[Tensor, "kv pos d_head"], Float[Tensor, "kv pos d_head"]]
"""Keys (rotated, where the family rotates them) and values of a prompt in one block."""


Context = tuple[int, bool]
"""A pair, and whether it is the clean prompt of its two."""


@dataclass(frozen=True, eq=False)
class Prompt:
    """An unchanged run of one prompt of a pair.

    ``stream`` maps a block to its input (pos, d_model), and the number of blocks to the last one's
    output; ``keys_values`` and ``masks`` (query, key), 0 where a key is seen, are by block.
    """

    pair: int
    length: int
    stream: dict[int, Float[Tensor, "pos d_model"]]
    keys_values: dict[int, PromptKeysValues]
    masks: dict[int, Float[Tensor, "query key"]]


@torch.no_grad()
def unchanged_prompts(
    run: PairedRun,
    contexts: Sequence[Context],
    blocks: Iterable[int],
    most_rows: int,
    products: Products,
) -> dict[Context, Prompt]:
    """Run prompts unchanged, those of one length together, at most ``most_rows`` tokens at once.

    The stream is kept at the entry of ``blocks``, keys and values from the first of them on.

    Raises:
        RunError: the family's attention is not softmax(scaling q k + mask) v, or what a row
            computes depends on which others it stands with.
    """
    _require_rows_by_themselves(run, contexts)
    ids: dict[int, list[tuple[Context, tuple[int, ...]]]] = {}
    for pair, clean in contexts:
        prompts = run.pairs[pair]
        tokens = prompts.clean_ids if clean else prompts.corrupted_ids
        ids.setdefault(len(tokens), []).append(((pair, clean), tokens))
    wanted, found = sorted(set(blocks)), {}
    for length, alike in ids.items():
        batch = max(1, most_rows // length)
        for first in range(0, len(alike), batch):
            some = alike[first : first + batch]
            tokens = torch.tensor([one for _, one in some], device=run.model.device)
            # What the run has dropped of its activations is measured again by the model as it is.
            known = _from_where_it_is_known(run, [context for context, _ in some], wanted[0])
            with known, products.faster(run.model, slice(wanted[0], None)):
                stream, kept = _recorded(run.model, tokens, wanted)
            for i, (context, _) in enumerate(some):
                found[context] = Prompt(
                    pair=context[0],
                    length=length,
                    stream={block: x[i] for block, x in stream.items()},
                    keys_values={block: (one.key[i], one.value[i]) for block, one in kept.items()},
                    masks={block: one.mask for block, one in kept.items()},
                )
    return found


def _require_rows_by_themselves(run: PairedRun, contexts: Sequence[Context]) -> None:
    """LongRoPE turns by other frequencies once any position of a pass is beyond a limit."""
    rope = getattr(run.model.config, "rope_parameters", None) or {}
    longest = max((len(run.pairs[pair].clean_ids) for pair, _ in contexts), default=0)
    for one in (rope, *(part for part in rope.values() if isinstance(part, dict))):
        limit = one.get("original_max_position_embeddings") or longest
        if one.get("rope_type") == "longrope" and longest > limit:
            raise RunError(
                f"A prompt of {longest} tokens is longer than the {limit} from which on "
                f"{run.model.name} turns all positions by other frequencies (longrope). The packed "
                "engine joins prompts of different lengths; use --engine reference."
            )


def _from_where_it_is_known(
    run: PairedRun, contexts: Sequence[Context], block: int
) -> AbstractContextManager[None]:
    """Passes begin at a block whose input the run has recorded, and else at the tokens."""
    entry = Site(block, "resid_pre")
    if entry not in run.recorded:
        return nullcontext()
    seen = [(run.activations[pair], clean) for pair, clean in contexts]
    x = [(one.clean if clean else one.corrupted)[entry] for one, clean in seen]
    return started_at(run.model, block, torch.stack(x))


class _Kept(NamedTuple):
    key: Float[Tensor, "prompt kv pos d_head"]
    value: Float[Tensor, "prompt kv pos d_head"]
    mask: Float[Tensor, "query key"]


def _recorded(
    model: LanguageModel, ids: Tokens, blocks: Sequence[int]
) -> tuple[dict[int, Resid], dict[int, _Kept]]:
    """The stream at the entry of ``blocks`` and what attention met there, of one batch."""
    stream: dict[int, Resid] = {}
    kept: dict[int, _Kept] = {}

    def storing(block: int) -> Callable[[Tensor], None]:
        def store(x: Tensor) -> None:
            stream[block] = x

        return store

    functions = {
        place.module: _recording(model, block, kept)
        if block >= blocks[0]
        else model.eager_attention(place.module)
        for block, place in enumerate(model.places(Role.ATTENTION))
    }
    reading = {_entry(model, block): storing(block) for block in blocks}
    with model.attention_replaced(functions), at_sites(model, reading):
        model.base(input_ids=ids, use_cache=False)  # without an unembedding
    return stream, kept


def _entry(model: LanguageModel, block: int) -> Site:
    if block == model.n_layers:
        return Site(block - 1, "resid_post")
    return Site(block, "resid_pre")


def _recording(model: LanguageModel, block: int, kept: dict[int, _Kept]) -> AttentionFunction:
    """The family's own attention; what it meets is kept, and what we take it for is checked."""

    def attention(
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor,
        **kwargs: Any,
    ) -> Any:
        out, *rest = model.eager_attention(module)(module, query, key, value, mask, **kwargs)
        kept[block] = _Kept(key.contiguous(), value.contiguous(), mask[0, 0])
        ours = attend(
            query.transpose(0, 1),
            (key.transpose(0, 1), value.transpose(0, 1)),
            (key[0, :, :0], value[0, :, :0]),
            mask[0, 0],
            *constants(query, kwargs),
        )
        difference = (ours.permute(1, 2, 0, 3) - out).abs().max()
        # Families take the softmax in float32 whatever the type.
        if not difference <= max(1e-4, 8 * torch.finfo(out.dtype).eps) * out.abs().max():
            raise RunError(
                "The packed engine describes attention as softmax(scaling q k + mask) v; "
                f"block {block} computes something else. Use --engine reference."
            )
        return out, *rest

    return attention
