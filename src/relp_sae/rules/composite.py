"""A composite: which rule acts at which role; roles without one keep their true slope."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from relp_sae.errors import InputError, RunError
from relp_sae.models import LanguageModel
from relp_sae.models.family import Role
from relp_sae.models.language_model import Place
from relp_sae.registry import Registry, suggestion
from relp_sae.rules.attachment import attach
from relp_sae.rules.rule import rules


@dataclass
class Audit:
    """How often each rule fired at each place, while a composite is applied."""

    expected: Mapping[Role, list[Place]]
    counts: Counter[str] = field(default_factory=Counter)

    def fired(self, place: Place) -> None:
        """Count one firing."""
        self.counts[place.name] += 1

    def by_role(self) -> dict[Role, tuple[int, int]]:
        """Role -> (places at which its rule fired, places that the architecture has)."""
        return {
            role: (sum(self.counts[place.name] > 0 for place in places), len(places))
            for role, places in self.expected.items()
        }

    def require_complete(self) -> None:
        """Check that every rule fired equally often at every place of its role.

        Raises:
            RunError: a rule did not fire everywhere, so the scores would mix two methods.
        """
        for role, places in self.expected.items():
            counts = {place.name: self.counts[place.name] for place in places}
            if counts and (min(counts.values()) == 0 or len(set(counts.values())) > 1):
                missed = min(counts, key=lambda name: counts[name])
                raise RunError(
                    f"The {role} rule fired {counts[missed]} times at {missed} and "
                    f"{max(counts.values())} times elsewhere; expected the same everywhere."
                )


@dataclass(frozen=True)
class Composite:
    """A table role -> rule name.

    >>> Composite({"nrom": "ln"})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    relp_sae.errors.InputError: Unknown role 'nrom'. Did you mean 'norm'? Known: norm, ...
    """

    table: Mapping[str, str]

    def __post_init__(self) -> None:
        for role, name in self.table.items():
            if role not in list(Role):
                hint = suggestion(role, Role)
                raise InputError(f"Unknown role '{role}'. {hint}Known: {', '.join(Role)}.")
            if rules[name].role != role:
                raise InputError(f"The rule '{name}' is for {rules[name].role}, not for {role}.")

    @property
    def two_point(self) -> bool:
        """Whether the slopes are taken between the rows of a batch: corrupted, then clean."""
        return any(rules[name].two_point for name in self.table.values())

    @contextmanager
    def applied(self, model: LanguageModel) -> Iterator[Audit]:
        """Inside the context, gradients through ``model`` follow the rules; values do not change.

        On exit, also after an exception, the model is as it was: no hook, the same attention.

        Raises:
            InputError: inside, when a two-point composite meets a single run.
            RunError: at the end, when a rule did not fire at every place of its role.
        """
        # In the order of Role: a gate's hook must see the output that the activation's rule made.
        acting = [rules[self.table[role]] for role in Role if role in self.table]
        audit = Audit({rule.role: model.places(rule.role) for rule in acting})
        with ExitStack() as undo:
            for rule in acting:
                undo.push(attach(model, rule, audit.fired))
            yield audit
        audit.require_complete()


composites: Registry[Composite] = Registry("composite", "relp_sae.rules")
