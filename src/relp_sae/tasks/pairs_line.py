"""One line of a pairs file: each of the four things as text, or as token ids taken as they are."""

import reprlib

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails
from transformers import PreTrainedTokenizerBase

from relp_sae.errors import InputError
from relp_sae.records.pairs import PromptPair
from relp_sae.registry import suggestion
from relp_sae.tasks.encoding import continuation, encode, pieces, single_token

EXAMPLE = '{"clean": "...", "corrupted": "...", "answer": " Mary", "foil": " John"}'


class PairLine(BaseModel):
    """The schema of a line."""

    model_config = ConfigDict(extra="forbid", strict=True)

    clean: str | None = None
    corrupted: str | None = None
    answer: str | None = None
    foil: str | None = None
    clean_ids: tuple[int, ...] | None = None
    corrupted_ids: tuple[int, ...] | None = None
    answer_id: int | None = None
    foil_id: int | None = None


def parse_line(raw: bytes, tokenizer: PreTrainedTokenizerBase) -> PromptPair:
    """The pair of one line.

    Raises:
        InputError: what is wrong and what was expected; the caller knows the line's number.
    """
    line = _read(raw)
    clean, clean_ids = _prompt(tokenizer, "clean", line.clean, line.clean_ids)
    corrupted, corrupted_ids = _prompt(tokenizer, "corrupted", line.corrupted, line.corrupted_ids)
    answer = _token(tokenizer, "answer", line.answer, line.answer_id)
    foil = _token(tokenizer, "foil", line.foil, line.foil_id)
    if len(clean_ids) != len(corrupted_ids):
        raise InputError(_unequal(tokenizer, clean_ids, corrupted_ids))
    if clean_ids == corrupted_ids:
        raise InputError("clean and corrupted are the same prompt; they must differ")
    if answer == foil:
        raise InputError(f"answer and foil are the same token {pieces(tokenizer, (answer,))}")
    return PromptPair(clean, corrupted, clean_ids, corrupted_ids, answer, foil)


def _read(raw: bytes) -> PairLine:
    try:
        return PairLine.model_validate_json(raw.decode("utf-8-sig").strip())
    except UnicodeDecodeError as error:
        raise InputError(
            f"not UTF-8 (byte {error.start + 1} of the line). Save the file as UTF-8"
        ) from error
    except ValidationError as error:
        raise InputError("; ".join(_say(details) for details in error.errors())) from error


def _say(details: ErrorDetails) -> str:
    """One fault that the schema found, in our words."""
    key = ".".join(str(part) for part in details["loc"])
    came = reprlib.repr(details["input"])
    match details["type"]:
        case "json_invalid":
            reason = details["msg"].removeprefix("Invalid JSON: ").replace("at line 1 ", "at ")
            return f"not JSON ({reason}). Expected {EXAMPLE}"
        case "model_type":
            return f"not an object: {came}. Expected {EXAMPLE}"
        case "extra_forbidden":
            known = PairLine.model_fields
            return f"unknown key '{key}'. {suggestion(key, known)}Known: {', '.join(known)}"
        case _:
            return f"'{key}' is {came}. {details['msg']}"


def _prompt(
    tokenizer: PreTrainedTokenizerBase, key: str, text: str | None, ids: tuple[int, ...] | None
) -> tuple[str, tuple[int, ...]]:
    """Text and ids of a prompt given as one of the two."""
    if text is not None and ids is None:
        return text, encode(tokenizer, text)
    if ids is not None and text is None:
        _require_known(tokenizer, f"{key}_ids", ids)
        return str(tokenizer.decode(list(ids))), ids
    raise InputError(_one_of(key, f"{key}_ids", both=text is not None))


def _token(
    tokenizer: PreTrainedTokenizerBase, key: str, text: str | None, token: int | None
) -> int:
    """The id of an answer or foil given as text or as id."""
    if text is not None and token is None:
        found = single_token(tokenizer, text)
        if found is None:
            raise InputError(_not_one_token(tokenizer, key, text))
        return found
    if token is not None and text is None:
        _require_known(tokenizer, f"{key}_id", (token,))
        return token
    raise InputError(_one_of(key, f"{key}_id", both=text is not None))


def _require_known(tokenizer: PreTrainedTokenizerBase, key: str, ids: tuple[int, ...]) -> None:
    for token in ids:
        if not 0 <= token < len(tokenizer):
            raise InputError(
                f"'{key}' holds {token}. Expected ids from 0 to {len(tokenizer) - 1}, "
                "the vocabulary of this model"
            )


def _one_of(text_key: str, id_key: str, both: bool) -> str:
    if both:
        return f"both '{text_key}' and '{id_key}' are given; keep one of them"
    return f"'{text_key}' is missing. Expected '{text_key}' as text, or '{id_key}' instead"


def _not_one_token(tokenizer: PreTrainedTokenizerBase, key: str, text: str) -> str:
    ids = continuation(tokenizer, text)
    spaced = f" {text}"
    fits = single_token(tokenizer, spaced) is not None
    hint = f". With a leading space, {spaced!r}, it is one token" if fits else ""
    if len(ids) == 1:
        return f"{key} {text!r} is not in this model's vocabulary{hint}"
    return f"{key} {text!r} is {len(ids)} tokens [{pieces(tokenizer, ids)}], expected one{hint}"


def _unequal(
    tokenizer: PreTrainedTokenizerBase, clean: tuple[int, ...], corrupted: tuple[int, ...]
) -> str:
    shorter = min(len(clean), len(corrupted))
    differing = (i for i in range(shorter) if clean[i] != corrupted[i])
    change = next(differing, shorter)
    around = slice(max(change - 2, 0), change + 4)
    return (
        f"the prompts must have equal token length, but clean has {len(clean)} tokens and "
        f"corrupted {len(corrupted)}. They part at token {change} (counted from 0): "
        f"clean [{pieces(tokenizer, clean[around])}], "
        f"corrupted [{pieces(tokenizer, corrupted[around])}]"
    )
