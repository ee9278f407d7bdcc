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
    """How often each rule fired at each place, while a composite is applied.

    ``expected`` holds the places of the blocks from ``first_block`` on, and the final norm.
    """

    expected: Mapping[Role, list[Place]]
    first_block: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def fired(self, place: Place) -> None:
        """Count one firing."""
        self.counts[place.name] += 1

    def by_role(self) -> dict[Role, tuple[int, int]]:
        """Role -> (places at which its rule fired, places at which it is expected to)."""
        return {
            role: (sum(self.counts[place.name] > 0 for place in places), len(places))
            for role, places in self.expected.items()
        }

    def require_complete(self) -> None:
        """Check that every rule fired equally often at every expected place, and nowhere else.

        Raises:
            RunError: a rule did not fire everywhere, so the scores would mix two methods, or it
                fired in a block that was not to be run.
        """
        expected = {place.name for places in self.expected.values() for place in places}
        unexpected = [name for name in self.counts if name not in expected]
        if unexpected:
            raise RunError(
                f"A rule fired at {unexpected[0]}; expected none before block {self.first_block}, "
                "where the pass starts."
            )
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
    def applied(
        self, model: LanguageModel, *, first_block: int = 0, rows: int = 2
    ) -> Iterator[Audit]:
        """Inside the context, gradients through ``model`` follow the rules; values do not change.

        Passes inside start at block ``first_block`` (see ``started_at``). A batch holds paths of
        ``rows`` prompts one after the other, between which a two-point composite takes its slopes:
        a pair's corrupted and clean prompt, then the next pair's. Other composites do not care.

        On exit, also after an exception, the model is as it was: no hook, the same attention.

        Raises:
            InputError: inside, when a two-point composite meets a batch that is no such paths.
            RunError: at the end, when a rule did not fire at every place that was run, or fired
                in an earlier block.
        """
        # In the order of Role: a gate's hook must see the output that the activation's rule made.
        names = [self.table[role] for role in Role if role in self.table]
        acting = [rules[name].on_paths_of(rows) for name in names]
        expected = {rule.role: _places_from(model, first_block, rule.role) for rule in acting}
        audit = Audit(expected, first_block)
        with ExitStack() as undo:
            for rule in acting:
                undo.push(attach(model, rule, audit.fired))
            yield audit
        audit.require_complete()


def _places_from(model: LanguageModel, first_block: int, role: Role) -> list[Place]:
    """The places of a role that a pass meets when it starts at a block; the final norm always."""
    left_out = tuple(f"{model.family.blocks}.{layer}." for layer in range(first_block))
    return [place for place in model.places(role) if not place.name.startswith(left_out)]


composites: Registry[Composite] = Registry("composite", "relp_sae.rules")
