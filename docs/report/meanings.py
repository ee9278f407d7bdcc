"""What the strongest features are, and where the scores mislead: from the cards of a run."""

from collections import Counter
from collections.abc import Sequence

from agreements import of_seed
from study import BASES, Run

from relp_sae.records import CardScore, FeatureCard
from relp_sae.report.blocks import Block, Table
from relp_sae.report.features import card_of, shared_table, strongest
from relp_sae.report.wording import number, percent, table, visible

SHOWN = 5
"""Cards with all their contexts, tokens in a cell, and features in a table of mistakes."""


def meanings(run: Run, truth: str = "denoise") -> list[Block]:
    """The strongest features of a truth in a table, the first of them with their contexts."""
    cards = strongest(run.cards, truth)
    return [
        shared_table(run.cards, labels(run)),
        feature_table(run, cards, truth),
        *map(card_of, cards[:SHOWN]),
    ]


def labels(run: Run) -> list[str]:
    """The rankings by the truths and by the four methods."""
    return [one for one in run.cards.ranked_by if one in BASES or of_seed(one.partition("@")[0])]


def feature_table(run: Run, cards: Sequence[FeatureCard], truth: str) -> Table:
    """A row for each feature: what it fires on and promotes, and every ranking's opinion of it."""
    rows = [
        (
            card.name,
            fires_on(card),
            " ".join(visible(repr(one.token)) for one in card.promoted[:SHOWN]) or "-",
            percent(card.density),
            number(score(card, truth).mean),
            *(score(card, one).rank for one in labels(run)),
        )
        for card in cards
    ]
    header = ("feature", "fires on", "promotes", "density", f"mean {truth}")
    caption = f"{run.sae}: the strongest features by {truth}, and their rank by each score"
    return table(caption, (*header, *labels(run)), rows, labels=3)


def fires_on(card: FeatureCard) -> str:
    """The tokens at which its strongest contexts fire, the most frequent first."""
    counts = Counter(visible(repr(one.token)) for one in card.contexts)
    shown = [f"{token} x{many}" if many > 1 else token for token, many in counts.most_common(SHOWN)]
    return ", ".join(shown) or "nothing in this text"


def one_token(run: Run, truth: str = "denoise") -> str:
    """How many of the strongest features fire on one and the same token in all their contexts."""
    cards = [card for card in strongest(run.cards, truth) if len(card.contexts) > 1]
    single = [
        card for card in cards if len({one.token.strip().lower() for one in card.contexts}) == 1
    ]
    return (
        f"Of the {len(cards)} strongest features by {truth} with more than one context in this "
        f"text, {len(single)} fire on one and the same word in all of them"
    )


def mistakes(run: Run, truth: str = "denoise") -> Table:
    """Features that a score has among its strongest and the truth does not, ranked lowest."""
    rows = []
    for label in labels(run):
        if label in BASES or label.partition("@")[2] not in ("", BASES[truth]):
            continue
        ranked = strongest(run.cards, label)
        missed = [card for card in ranked if score(card, truth).rank > run.cards.top]
        worst = sorted(missed, key=lambda card: -score(card, truth).rank)[:2]
        rows += [
            (
                label if i == 0 else "",
                f"{card.name}: {fires_on(card)}",
                score(card, label).rank,
                score(card, truth).rank,
                number(score(card, label).mean),
                number(score(card, truth).mean),
            )
            for i, card in enumerate(worst)
        ]
    header = ("score", "feature", "its rank", f"rank by {truth}", "mean score", f"mean {truth}")
    caption = (
        f"{run.sae}: of each score's strongest features, those that {truth} ranks lowest, beyond "
        f"its own top {run.cards.top}"
    )
    return table(caption, header, rows, labels=2)


def score(card: FeatureCard, label: str) -> CardScore:
    """What one ranking says of a feature."""
    return next(one for one in card.scores if one.label == label)
