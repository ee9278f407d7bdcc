"""What the strongest features of a run fire on, promote and score: ``features.json``."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Context:
    """A place in a text where a feature fires: at ``token``, between ``before`` and ``after``.

    ``activation`` is that of the feature there, in the unit in which it multiplies its row of
    W_dec.
    """

    activation: float
    before: str
    token: str
    after: str


@dataclass(frozen=True)
class MovedToken:
    """A token, and how far a unit of the feature moves its logit directly."""

    token: str
    logit: float


@dataclass(frozen=True)
class CardScore:
    """What one estimate or truth says of a feature.

    ``strength`` is the sum of |score| over all of the feature's units, by which features are
    ranked; ``rank`` is 1 for the strongest of all sites together. ``mean`` is the signed score,
    summed over a pair's positions, mean over the pairs in which the feature differs. All but the
    rank are in the metric's unit.
    """

    kind: Literal["estimate", "truth"]
    name: str
    label: str
    strength: float
    rank: int
    mean: float


@dataclass(frozen=True)
class FeatureCard:
    """One feature: where it acts in the run, what it fires on in text, and what it promotes.

    ``pairs`` and ``units`` count the pairs and the (pair, position)s at which it differs between
    the two runs. ``density`` is the share of the text's tokens (but for outliers and the first of a
    passage) at which it is active, ``largest`` its activation of the largest size there (0 if it is
    never active). ``promoted`` and
    ``suppressed`` are the tokens whose logits it moves up and down most, the strongest first; none
    where nothing at the site is added to the stream.
    """

    site: str
    feature: int
    pairs: int
    units: int
    scores: tuple[CardScore, ...]
    density: float
    largest: float
    contexts: tuple[Context, ...]
    promoted: tuple[MovedToken, ...]
    suppressed: tuple[MovedToken, ...]

    @property
    def name(self) -> str:
        """Site and number, as shown to people."""
        return f"{self.site}/{self.feature}"


@dataclass(frozen=True)
class FeatureCards:
    """The cards of a run, in order, and what they were made from.

    A feature has a card if it is among the ``top`` of one of ``ranked_by``. ``tokens`` and
    ``documents`` count what was read; ``norm_scale`` is what the final norm multiplied the stream
    by, mean over clean prompts, with which ``MovedToken.logit`` was computed.
    """

    top: int
    ranked_by: tuple[str, ...]
    tokens: int
    documents: int
    norm_scale: float
    cards: tuple[FeatureCard, ...]
