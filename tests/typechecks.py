"""The checker of types and shapes in tests: beartype, asked once for each signature.

jaxtyping has it check functions that have the signature of the package's own and no body. A
function inside a function comes anew with every call, and beartype takes a millisecond for each.
"""

import inspect
from collections.abc import Callable

from beartype import beartype

_checked: dict[tuple[object, ...], Callable[..., object]] = {}


def checked(bodyless: Callable[..., object]) -> Callable[..., object]:
    """The function with its arguments checked."""
    signature = inspect.signature(bodyless)
    asked = [
        (p.name, p.kind, p.annotation, p.default is p.empty) for p in signature.parameters.values()
    ]
    key = bodyless.__module__, bodyless.__qualname__, *asked, signature.return_annotation
    if key not in _checked:
        _checked[key] = beartype(bodyless)
    return _checked[key]
