"""Text for training: documents of a source, packed into contexts of token ids."""

from collections.abc import Iterator

import torch
from transformers import PreTrainedTokenizerBase

from relp_sae.errors import InputError
from relp_sae.models import LanguageModel
from relp_sae.tasks.encoding import encode
from relp_sae.tensors import Tokens
from relp_sae.training.files import file_documents
from relp_sae.training.generated import generated_documents
from relp_sae.training.hub import hub_documents

GENERATED = "generated"
HUB = "hf:"


def documents(source: str, model: LanguageModel, seed: int) -> Iterator[str]:
    """The documents of a source that are not blank, the same ones in the same order at each call.

    ``generated`` is text that ``model`` writes itself, other text for every ``seed`` and without
    end; ``hf:OWNER/NAME[@CONFIG][:SPLIT]`` is a data set of the Hugging Face Hub; anything else is
    a local file or folder. The two latter do not depend on ``model`` and ``seed``.

    Raises:
        InputError: at once, if there is no such source; while reading, if it is damaged, has a
            record without text, or holds no document.
    """
    if source == GENERATED:
        found = generated_documents(model, seed)
    elif source.startswith(HUB):
        found = hub_documents(source.removeprefix(HUB))
    else:
        found = file_documents(source)
    return _not_blank(source, found)


def _not_blank(source: str, found: Iterator[str]) -> Iterator[str]:
    empty = True
    for document in found:
        if document.strip():
            empty = False
            yield document
    if empty:
        raise InputError(f"{source} holds no text. Expected at least one document.")


def pack(
    documents: Iterator[str], tokenizer: PreTrainedTokenizerBase, context: int
) -> Iterator[Tokens]:
    """Token ids of shape (1, context): documents end to end, each behind the separator token.

    The separator is the begin-of-sequence token, which also starts every context, as it starts
    every prompt. What is left over at the end, shorter than a context, is dropped.
    """
    separator = list(encode(tokenizer, ""))
    body = context - len(separator)
    pending: list[int] = []
    for document in documents:
        pending += encode(tokenizer, document)
        whole = len(pending) // body * body
        for first in range(0, whole, body):
            yield torch.tensor([separator + pending[first : first + body]])
        del pending[:whole]
