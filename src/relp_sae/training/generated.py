"""Text that the model writes itself: samples of its own next-token distribution.

Each document has random numbers of its own, one for each token, drawn from the seed and the
document's number alone. Token t is where the t-th of them falls in the cumulative distribution, so
a document does not depend on torch's random state, on what ran before, or (but for float rounding)
on which documents are sampled beside it.
"""

from collections.abc import Iterator
from itertools import count

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from relp_sae.errors import InputError
from relp_sae.models import LanguageModel
from relp_sae.tasks.encoding import encode
from relp_sae.tensors import Logits, TokenIds

LENGTH = 256  # tokens of a document at most
BATCH = 32  # documents sampled side by side


def generated_documents(model: LanguageModel, seed: int) -> Iterator[str]:
    """Documents without end, sampled at temperature 1 behind the begin-of-sequence token.

    A document ends where the model ends it, at the latest after ``LENGTH`` tokens or what the
    model can read. Special tokens inside it are left out of its text.

    Raises:
        InputError: at once, if the tokenizer has no begin-of-sequence token.
    """
    if not encode(model.tokenizer, ""):
        raise InputError(
            f"{model.name} has no begin-of-sequence token for generated text to start from. Give "
            "text as files or hf:OWNER/NAME, or name a bos_token in the model's "
            "tokenizer_config.json."
        )
    return _documents(model, seed)


def _documents(model: LanguageModel, seed: int) -> Iterator[str]:
    length = min(LENGTH, getattr(model.config, "max_position_embeddings", None) or LENGTH)
    for first in count(step=BATCH):
        draws = torch.stack([_draws(seed, first + row, length) for row in range(BATCH)])
        texts = [_text(model, ids) for ids in sample(model, draws)]
        if not any(text.strip() for text in texts):
            raise InputError(
                f"{model.name} wrote {BATCH} empty documents in a row. Give other text."
            )
        yield from texts


def _text(model: LanguageModel, ids: list[int]) -> str:
    options = {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}
    return str(model.tokenizer.decode(ids, **options))


def _draws(seed: int, document: int, length: int) -> Float[Tensor, "length"]:
    """The uniform numbers in [0, 1) of one document; shorter ones begin like longer ones."""
    generator = np.random.default_rng([seed % 2**64, document])
    return torch.from_numpy(generator.random(length))


@torch.no_grad()
def sample(model: LanguageModel, draws: Float[Tensor, "batch length"]) -> list[list[int]]:
    """One document for each row of uniform numbers: its token ids, without those at its ends."""
    draws = draws.to(model.device)
    ends = torch.tensor(_ends(model), device=model.device)
    documents: list[list[int]] = [[] for _ in draws]
    rows = torch.arange(len(draws), device=model.device)  # the documents that go on
    ids = torch.full_like(rows, encode(model.tokenizer, "")[0])
    cache = None
    for position in range(draws.shape[1]):
        output = model.base(input_ids=ids[:, None], past_key_values=cache, use_cache=True)
        cache = output.past_key_values
        ids = _drawn(model.head(output.last_hidden_state[:, -1]), draws[rows, position])
        going = ~torch.isin(ids, ends)
        if not going.all():
            rows, ids = rows[going], ids[going]
            cache.batch_select_indices(going)
        if not len(rows):
            break
        for row, token in zip(rows.tolist(), ids.tolist(), strict=True):
            documents[row].append(token)
    return documents


def _drawn(logits: Logits, draws: Float[Tensor, "batch"]) -> TokenIds:
    """The token at which each cumulative distribution passes its uniform number."""
    below = logits.double().softmax(dim=-1).cumsum(dim=-1)
    # The last sum is 1 but for rounding; the factor keeps every number below it.
    found = torch.searchsorted(below, draws[:, None] * below[:, -1:], right=True)
    return found[:, 0].clamp(max=logits.shape[-1] - 1)


def _ends(model: LanguageModel) -> list[int]:
    """The tokens that end a document: the separator, and what the model or its tokenizer names."""
    named = getattr(model.hf.generation_config, "eos_token_id", None)
    eos: int | None = model.tokenizer.eos_token_id  # pyright: ignore[reportAssignmentType]
    ends = [*encode(model.tokenizer, ""), eos, *(named if isinstance(named, list) else [named])]
    return sorted({token for token in ends if token is not None})
