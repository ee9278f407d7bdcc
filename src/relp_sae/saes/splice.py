"""Putting a dictionary into the forward pass, with the error term kept."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from relp_sae.models import LanguageModel, at_sites
from relp_sae.saes.dictionary import Code, Dictionary
from relp_sae.tensors import FeatureActs, Resid

Edit = Callable[[FeatureActs], FeatureActs]
"""Given the features (batch, pos, d_sae) of a forward pass: the features to use instead."""


@contextmanager
def spliced(model: LanguageModel, dictionary: Dictionary, edit: Edit) -> Iterator[None]:
    """Replace x at the site by decode(edit(f)) + e, where e = x - decode(f) is kept.

    With ``edit`` the identity the logits are unchanged to float error.
    """

    def change(x: Resid) -> Resid:
        code = dictionary.encode(x)
        edited = Code(edit(code.features), code.offset)
        return dictionary.decode(edited) - dictionary.decode(code)

    with at_sites(model, {dictionary.site: change}):
        yield


@contextmanager
def reconstructed(model: LanguageModel, dictionary: Dictionary, start: int) -> Iterator[None]:
    """Replace x by its reconstruction, dropping the error term, from position ``start`` on."""

    def change(x: Resid) -> Resid:
        change = dictionary.decode(dictionary.encode(x)) - x
        change[:, :start] = 0
        return change

    with at_sites(model, {dictionary.site: change}):
        yield
