"""The checker of types and shapes in tests: beartype, asked once for each signature.

jaxtyping has it check functions that have the signature of the package's own and no body. A
function inside a function comes anew with every call, and beartype takes a millisecond for each.
"""

import inspect
from collections.abc import Callable

from beartype import beartype

_checked: dict[tuple[str, str, str], Callable[..., object]] = {}


def checked(bodyless: Callable[..., object]) -> Callable[..., object]:
    """The function with its arguments checked."""
    key = bodyless.__module__, bodyless.__qualname__, str(inspect.signature(bodyless))
    if key not in _checked:
        _checked[key] = beartype(bodyless)
    return _checked[key]
