"""How a rule is made to act at the places of each role, and undone.

Norms, activations and gates are reached by forward hooks on the instances. Attention is reached
through transformers' public attention interface, set for this model alone.
"""

import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

from relp_sae.models import LanguageModel
from relp_sae.models.family import Role
from relp_sae.models.language_model import Place
from relp_sae.rules.rule import Attention, Rule, with_slope_of

Fired = Callable[[Place], None]
"""Called each time a rule acts at a place; the audit counts."""


def attach(model: LanguageModel, rule: Rule, fired: Fired) -> ExitStack:
    """Make ``rule`` act at every place of its role; closing the returned stack undoes it."""
    undo = ExitStack()
    with ExitStack() as on_failure:
        on_failure.push(undo)
        _ATTACH[rule.role](model, rule, fired, undo)
        on_failure.pop_all()
    return undo


def _norms(model: LanguageModel, rule: Rule, fired: Fired, undo: ExitStack) -> None:
    for place in model.places(Role.NORM):

        def hook(module: nn.Module, args: tuple, y: Tensor, place: Place = place) -> Tensor:
            fired(place)
            return with_slope_of(rule.surrogate(args[0], model.norm, module), y)

        undo.callback(place.module.register_forward_hook(hook).remove)


def _activations(model: LanguageModel, rule: Rule, fired: Fired, undo: ExitStack) -> None:
    for place in model.places(Role.ACTIVATION):

        def hook(_module: nn.Module, args: tuple, y: Tensor, place: Place = place) -> Tensor:
            fired(place)
            return with_slope_of(rule.surrogate(args[0], model.activation_name), y)

        undo.callback(place.module.register_forward_hook(hook).remove)


def _gates(model: LanguageModel, rule: Rule, fired: Fired, undo: ExitStack) -> None:
    for place in model.places(Role.GATE):
        seen: dict[nn.Module, Tensor] = {}

        def remember(
            module: nn.Module, _args: tuple, out: Tensor, seen: dict[nn.Module, Tensor] = seen
        ) -> None:
            seen[module] = out

        def hook(
            _module: nn.Module,
            args: tuple,
            place: Place = place,
            seen: dict[nn.Module, Tensor] = seen,
        ) -> Tensor:
            fired(place)
            left, right = (seen.pop(branch) for branch in place.branches)
            return with_slope_of(rule.surrogate(left, right), args[0])

        for branch in place.branches:
            undo.callback(branch.register_forward_hook(remember).remove)
        undo.callback(place.module.register_forward_pre_hook(hook).remove)


ATTENTION_NAME = "relp_sae_rule"
_acting: WeakKeyDictionary[nn.Module, Callable[..., Any]] = WeakKeyDictionary()


def _dispatch(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
    """The attention function under ATTENTION_NAME: what acts at this very module."""
    return _acting[module](module, *args, **kwargs)


AttentionInterface.register(ATTENTION_NAME, _dispatch)
# Without a mask function of the same name the mask would be None and attention not causal.
AttentionMaskInterface.register(ATTENTION_NAME, eager_mask)


def _attention(model: LanguageModel, rule: Rule, fired: Fired, undo: ExitStack) -> None:
    for place in model.places(Role.ATTENTION):
        module = place.module
        if module in _acting:  # a composite inside another one: give way to it afterwards
            undo.callback(_acting.__setitem__, module, _acting[module])
        else:
            undo.callback(_acting.pop, module)
        _acting[module] = _attending(place, rule, fired)
    before = model.config._attn_implementation
    undo.callback(model.hf.set_attn_implementation, before)
    model.hf.set_attn_implementation(ATTENTION_NAME)


def _attending(place: Place, rule: Rule, fired: Fired) -> Callable[..., Any]:
    """The attention function of one place: the rule around the family's own eager attention."""
    eager = sys.modules[type(place.module).__module__].eager_attention_forward

    def act(
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        **kwargs: Any,
    ) -> Any:
        fired(place)
        call = Attention(
            lambda q, k, v: eager(module, q, k, v, mask, **kwargs),
            mask,
            kwargs.get("scaling") or query.shape[-1] ** -0.5,  # as the families' own default
            kwargs.get("softcap"),
        )
        return rule.surrogate(query, key, value, call)

    return act


_ATTACH: dict[Role, Callable[[LanguageModel, Rule, Fired, ExitStack], None]] = {
    Role.NORM: _norms,
    Role.ACTIVATION: _activations,
    Role.GATE: _gates,
    Role.ATTENTION: _attention,
}
