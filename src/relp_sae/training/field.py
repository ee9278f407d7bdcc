"""The field ``text`` of one record of a data set."""

FIELD = "text"


def text_of(record: object) -> str:
    """The text of a record.

    Raises:
        ValueError: the record has no such text; says what it has instead.
    """
    if not isinstance(record, dict):
        raise ValueError(f'expected an object with the field "{FIELD}", found {_kind(record)}')
    if FIELD not in record:
        raise ValueError(missing(list(record)))
    text = record[FIELD]
    if not isinstance(text, str):
        raise ValueError(f'expected text in the field "{FIELD}", found {_kind(text)}')
    try:
        text.encode()  # JSON can escape half a character, which no tokenizer takes
    except UnicodeEncodeError as error:
        raise ValueError(f'its "{FIELD}" is not Unicode: {error.reason}') from error
    return text


def missing(fields: list[str]) -> str:
    """What to say of a record that has only other fields."""
    return f'expected the field "{FIELD}", found {", ".join(fields) or "none"}'


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", type(None): "null"}
    return names.get(type(value), f"{value}")
