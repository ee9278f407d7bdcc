"""With SAEs at several sites: what becomes of a later one's error term when a unit is changed.

The step of a unit changes x at every later site, and what the SAE there leaves of x is another
error term then, e = x - decode(encode(x)). It may follow x, so that the pass is the model's own, or
stay what it is in the run that is patched, so that effects reach later sites through features only
(the error nodes of Marks et al. 2024, arXiv 2403.19647, of which each is a unit by itself).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from relp_sae.models import Addition, forward_order, in_turn
from relp_sae.records import Site
from relp_sae.registry import Registry
from relp_sae.saes.dictionary import Dictionary, reconstruction

Held = Callable[[Site, Iterable[Dictionary]], list[Dictionary]]
"""(where a unit is changed, a run's dictionaries) -> those whose error terms do not follow."""

error_terms: Registry[Held] = Registry("error term")


@error_terms.register("pass-through")
def pass_through(_site: Site, _dictionaries: Iterable[Dictionary]) -> list[Dictionary]:
    """None is held: error terms are what the model's own pass makes of them."""
    return []


@error_terms.register("frozen")
def frozen(site: Site, dictionaries: Iterable[Dictionary]) -> list[Dictionary]:
    """Those of all later sites are held, so that x there is decode(encode(x)) + e of the base."""
    return [one for one in dictionaries if forward_order(one.site) > forward_order(site)]


Hold = Callable[[Site, Tensor], Tensor]
"""Given a site and its error terms in a pass (batch, pos, width): those to have instead."""


def as_they_are(_site: Site, error: Tensor) -> Tensor:
    """The error terms of the pass itself as constants: no value changes, and no slope is theirs."""
    return error.detach()


@dataclass(frozen=True)
class HeldErrors:
    """Which error terms are held in a pass, and at what."""

    dictionaries: Sequence[Dictionary] = ()
    hold: Hold = as_they_are

    def beside(self, additions: Mapping[Site, Addition]) -> dict[Site, Addition]:
        """Additions at sites, together with what holds the error terms, for `at_sites`.

        At a site that has both, its error term is held first. What is added there then, such as
        the step of an error unit, stays.
        """
        holding, reading = [], []
        for one in self.dictionaries:
            if one.reads == one.site:
                holding.append({one.site: _of_sae(one, self.hold)})
                continue
            read: list[Tensor] = []
            reading.append({one.reads: read.append})
            holding.append({one.site: _of_transcoder(one, self.hold, read)})
        return in_turn(*holding, additions, *reading)


def _of_sae(one: Dictionary, hold: Hold) -> Addition:
    return lambda x: _held(one, hold, x, x)


def _of_transcoder(one: Dictionary, hold: Hold, read: list[Tensor]) -> Addition:
    return lambda x: _held(one, hold, read.pop(), x)


def _held(one: Dictionary, hold: Hold, read: Tensor, x: Tensor) -> Tensor:
    """What to add to x so that its error term is the one to hold: it is decode(encode(x)) + e."""
    error = x - reconstruction(one, read)
    return hold(one.site, error) - error
