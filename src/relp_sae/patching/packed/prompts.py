"""What changed runs share with their unchanged prompt: stream, keys and values, and mask."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from relp_sae.errors import RunError
from relp_sae.models import AttentionCall, record_prompts
from relp_sae.models.longrope import longrope_limit
from relp_sae.patching.packed.attend import attend, constants
from relp_sae.run import PairedRun
from relp_sae.run.activations import Context

PromptKeysValues = tuple[Float[Tensor, "kv pos d_head"], Float[Tensor, "kv pos d_head"]]
"""Keys (rotated, where the family rotates them) and values of a prompt in one block."""


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
            # What the run has dropped of it is measured again, by the model as it is.
            entering = run.activations.entering(wanted[0], [context for context, _ in some])
            with run.products.faster(run.model, slice(wanted[0], None)):
                stream, met = record_prompts(
                    run.model, tokens, wanted, entering, _require_described
                )
            for i, (context, _) in enumerate(some):
                found[context] = Prompt(
                    pair=context[0],
                    length=length,
                    stream={block: x[i] for block, x in stream.items()},
                    keys_values={block: (one.key[i], one.value[i]) for block, one in met.items()},
                    masks={block: one.mask for block, one in met.items()},
                )
    return found


def _require_rows_by_themselves(run: PairedRun, contexts: Sequence[Context]) -> None:
    limit = longrope_limit(run.model)
    longest = max((len(run.pairs[pair].clean_ids) for pair, _ in contexts), default=0)
    if limit is not None and longest > limit:
        raise RunError(
            f"A prompt of {longest} tokens is longer than the {limit} from which on "
            f"{run.model.name} turns all positions by other frequencies (longrope). The packed "
            "engine joins prompts of different lengths; use --engine reference."
        )


def _require_described(call: AttentionCall) -> None:
    """Check that a block's attention is what the packed engine takes it for."""
    key, value, mask = call.met
    ours = attend(
        call.query.transpose(0, 1),
        (key.transpose(0, 1), value.transpose(0, 1)),
        (key[0, :, :0], value[0, :, :0]),
        mask,
        *constants(call.query, call.kwargs),
    )
    difference = (ours.reshape(call.out.shape) - call.out).abs().max()
    # Families take the softmax in float32 whatever the type.
    if not difference <= max(1e-4, 8 * torch.finfo(call.out.dtype).eps) * call.out.abs().max():
        raise RunError(
            "The packed engine describes attention as softmax(scaling q k + mask) v; "
            f"block {call.block} computes something else. Use --engine reference."
        )
