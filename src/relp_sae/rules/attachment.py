"""How a rule is made to act at the places of each role, and undone.

Norms, activations and gates are reached by forward hooks on the instances. Attention is reached
through the function that its family calls, replaced for this model alone.
"""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from torch import Tensor, nn

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
            return with_slope_of(rule.surrogate(args[0], place.function), y)

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
            left, right = (branch.of(seen.pop(branch.module)) for branch in place.branches)
            return with_slope_of(rule.surrogate(left, right), args[0])

        for branch in place.branches:
            undo.callback(branch.module.register_forward_hook(remember).remove)
        undo.callback(place.module.register_forward_pre_hook(hook).remove)


def _attention(model: LanguageModel, rule: Rule, fired: Fired, undo: ExitStack) -> None:
    places = model.places(Role.ATTENTION)
    functions = {place.module: _attending(model, place, rule, fired) for place in places}
    undo.enter_context(model.attention_replaced(functions))


def _attending(model: LanguageModel, place: Place, rule: Rule, fired: Fired) -> Callable[..., Any]:
    """The attention function of one place: the rule around the family's own eager attention."""
    eager = model.eager_attention(place.module)

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
