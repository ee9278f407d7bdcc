"""Putting a dictionary into the forward pass, with the error term kept."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor

from relp_sae.models import LanguageModel, at_sites
from relp_sae.saes.dictionary import Code, Dictionary
from relp_sae.tensors import FeatureActs, Resid

Edit = Callable[[FeatureActs], FeatureActs]
"""Given the features (batch, pos, d_sae) of a forward pass: the features to use instead."""


Change = Callable[[Tensor, Tensor], Tensor]
"""Given what a dictionary reads, and x where it writes: what to add to x."""


@contextmanager
def changed(model: LanguageModel, dictionary: Dictionary, change: Change) -> Iterator[None]:
    """Add a change at a dictionary's site that depends on what it reads in the same pass."""
    if dictionary.reads == dictionary.site:
        with at_sites(model, {dictionary.site: lambda x: change(x, x)}):
            yield
        return
    read: list[Tensor] = []
    additions = {
        dictionary.reads: read.append,
        dictionary.site: lambda x: change(read.pop(), x),
    }
    with at_sites(model, additions):
        yield


@contextmanager
def spliced(model: LanguageModel, dictionary: Dictionary, edit: Edit) -> Iterator[None]:
    """Replace x at the site by decode(edit(f)) + e, where e = x - decode(f) is kept.

    With ``edit`` the identity the logits are unchanged to float error.
    """

    def change(read: Resid, _x: Tensor) -> Tensor:
        code = dictionary.encode(read)
        edited = Code(edit(code.features), code.offset)
        return dictionary.decode(edited) - dictionary.decode(code)

    with changed(model, dictionary, change):
        yield


@contextmanager
def reconstructed(model: LanguageModel, dictionary: Dictionary, start: int) -> Iterator[None]:
    """Replace x by its reconstruction, dropping the error term, from position ``start`` on."""

    def change(read: Resid, x: Tensor) -> Tensor:
        change = dictionary.decode(dictionary.encode(read)) - x
        change[:, :start] = 0
        return change

    with changed(model, dictionary, change):
        yield
