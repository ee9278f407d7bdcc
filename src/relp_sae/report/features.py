"""What the strongest features fire on and promote, as cards and as a table."""

from collections.abc import Sequence

from relp_sae.records import CardScore, FeatureCard, FeatureCards
from relp_sae.report.blocks import Card, Quote, Section, Table
from relp_sae.report.wording import is_baseline, listed, number, table, visible

SHOWN_TOKENS = 4
"""Promoted tokens in a cell of the table."""

WORDS = 24
"""The most characters before the marked token, and after it, in a cell."""


def features_sections(found: FeatureCards | None) -> list[Section]:
    """The cards with what they mean: those that lead a truth open, the others folded."""
    if found is None:
        return []
    first = leading(found)
    others = [card for card in found.cards if card not in first]
    sections = [
        Section(
            "What do the strongest features mean?",
            (*_explained(found), shared_table(found, found.ranked_by), *map(card_of, first)),
        )
    ]
    if others:
        text = "Features that an estimate ranks high, but no truth."
        sections.append(
            Section("More features", (text, *map(card_of, others)), folded=True),
        )
    return sections


def leading(found: FeatureCards) -> list[FeatureCard]:
    """The cards of the features that are at the top of a truth; all where there is no truth."""
    first = [
        card
        for card in found.cards
        if any(one.kind == "truth" and one.rank <= found.top for one in card.scores)
    ]
    return first or list(found.cards)


def feature_table(found: FeatureCards, cards: Sequence[FeatureCard]) -> Table:
    """One row per feature: its ranks, the tokens that it promotes, and its strongest context."""
    rows = [(card.name, _ranks(card, found.top), _promoted(card), _short(card)) for card in cards]
    caption = f"The strongest features, and what they fire on in {found.tokens:,} tokens of text"
    return Table(caption, ("feature", "rank", "promotes", "fires on"), tuple(rows), labels=4)


def _ranks(card: FeatureCard, top: int) -> str:
    """Its ranks by the truths, or where there is none by the estimates that it leads."""
    truths = [one for one in card.scores if one.kind == "truth"]
    shown = truths or [one for one in card.scores if one.rank <= top and not is_baseline(one.name)]
    return ", ".join(f"{one.label} {one.rank}" for one in shown)


def _promoted(card: FeatureCard) -> str:
    return visible(" ".join(repr(one.token) for one in card.promoted[:SHOWN_TOKENS])) or "-"


def _short(card: FeatureCard) -> str:
    """The strongest context in few words."""
    if not card.contexts:
        return "nothing in this text"
    one = card.contexts[0]
    return visible(f"{one.before[-WORDS:]}«{one.token}»{one.after[:WORDS]}")


def _explained(found: FeatureCards) -> tuple[str, ...]:
    return (
        f"The {found.top} features with the largest sum of |score| over pairs and positions, for "
        f"each of {listed([f'`{one}`' for one in found.ranked_by])}; error units are left out.",
        f"**Fires on**: the places of the largest activation in {found.tokens:,} tokens of "
        f"{found.documents:,} documents (a long one is read as several), one a document, with the "
        "token that it fires at marked. "
        "The first token of a passage and tokens with outlying activations are left out.",
        "**Promotes** and **suppresses**: the tokens whose logits the feature's decoder row moves "
        "most when it is added to the stream at the end, past all later blocks, with the final "
        f"norm's weight and its scale held at {number(found.norm_scale)} (mean over clean "
        "prompts); logits a unit of activation, less the mean over the vocabulary. What later "
        "blocks make of the feature is not in it.",
        "Scores are summed over a pair's positions, mean over the pairs in which the feature "
        "differs, with the rank by the sum of |score| in brackets.",
    )


def shared_table(found: FeatureCards, labels: Sequence[str]) -> Table:
    """How many features are among the strongest of each two of some rankings."""
    top = {label: {card.name for card in strongest(found, label)} for label in labels}
    rows = [(name, *(len(own & other) for other in top.values())) for name, own in top.items()]
    return table(f"Common features among the top {found.top}", ("", *top), rows)


def strongest(found: FeatureCards, label: str) -> list[FeatureCard]:
    """The cards of the features at the top of one ranking, in its order."""
    ranks = {
        card.name: one.rank for card in found.cards for one in card.scores if one.label == label
    }
    at_top = [card for card in found.cards if ranks.get(card.name, found.top + 1) <= found.top]
    return sorted(at_top, key=lambda card: ranks[card.name])


def card_of(card: FeatureCard) -> Card:
    """One feature: where it acts, its scores, the tokens that it moves and its contexts."""
    truths = [one for one in card.scores if one.kind == "truth"]
    estimates = [one for one in card.scores if one.kind == "estimate" and not is_baseline(one.name)]
    lines = [
        f"Differs in {card.pairs} pairs, at {card.units} positions in all. Active at "
        f"{_share(card.density)} of the text's tokens, at most {number(card.largest, 2)}.",
        *(
            f"{name}: {_scores(some)}"
            for name, some in (("Truths", truths), ("Estimates", estimates))
            if some
        ),
    ]
    tokens = [
        (f"{name} ({moved[0].logit:+.3f} to {moved[-1].logit:+.3f})", tuple(t.token for t in moved))
        for name, moved in (("Promotes", card.promoted), ("Suppresses", card.suppressed))
        if moved
    ]
    if not tokens:
        lines.append("Nothing at this site is added to the stream, so it moves no logit directly.")
    if not card.contexts:
        lines.append("It is never active in this text.")
    quotes = [
        Quote(one.before, one.token, one.after, number(one.activation, 2)) for one in card.contexts
    ]
    return Card(card.name, tuple(lines), tuple(tokens), tuple(quotes))


def _scores(some: Sequence[CardScore]) -> str:
    return ", ".join(f"{one.label} {number(one.mean)} ({one.rank})" for one in some)


def _share(density: float) -> str:
    """
    >>> _share(0.0123), _share(0.5), _share(0.0)
    ('1.23 %', '50.00 %', '0.00 %')
    """
    return f"{100 * density:.2f} %"
