"""From text to token ids, one way for every task."""

from transformers import PreTrainedTokenizerBase


def encode(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[int, ...]:
    """The ids of a prompt, behind the begin-of-sequence token where the tokenizer has one."""
    bos: int | None = tokenizer.bos_token_id  # pyright: ignore[reportAssignmentType]
    ids = _ids(tokenizer, text)
    return ids if bos is None else (bos, *ids)


def continuation(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[int, ...]:
    """The ids that ``text`` adds when it goes on from a prompt.

    Read off behind an anchor that does not merge with it, since tokenizers of the SentencePiece
    kind (Llama 2, Mistral) put a space of their own in front of whatever stands first.
    """
    anchor = "0" if text[:1].isspace() else "\n"
    return _ids(tokenizer, anchor + text)[len(_ids(tokenizer, anchor)) :]


def single_token(tokenizer: PreTrainedTokenizerBase, text: str) -> int | None:
    """The id of ``text`` as the next token of a prompt; None if it is several, or unknown."""
    ids = continuation(tokenizer, text)
    return ids[0] if len(ids) == 1 and ids[0] != tokenizer.unk_token_id else None


def pieces(tokenizer: PreTrainedTokenizerBase, ids: tuple[int, ...]) -> str:
    """The tokens one by one, quoted, for messages."""
    return " ".join(repr(tokenizer.decode([token])) for token in ids)


def text_of(tokenizer: PreTrainedTokenizerBase, token: int) -> str:
    """What a token adds to a text that goes on, its leading space included.

    Read off behind an anchor, for tokenizers that drop a space in front of whatever stands first.
    A token that is a part of a character reads as the replacement character.
    """
    anchor = list(_ids(tokenizer, "0"))
    return _decoded(tokenizer, [*anchor, token])[len(_decoded(tokenizer, anchor)) :]


def name_of(tokenizer: PreTrainedTokenizerBase) -> str:
    """What to call the tokenizer in messages."""
    return tokenizer.name_or_path or type(tokenizer).__name__


def _ids(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[int, ...]:
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])


def _decoded(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> str:
    text = tokenizer.decode(ids, clean_up_tokenization_spaces=False)
    assert isinstance(text, str)  # of one list of ids, not of several
    return text
