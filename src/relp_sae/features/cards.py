"""``feature_cards``: the strongest features of a finished run, each with what it means."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from relp_sae.errors import InputError
from relp_sae.features.inputs import chosen_rankings, require_features, require_inputs
from relp_sae.features.passages import Passage, first_tokens, passages
from relp_sae.features.promotion import Moved, moved_tokens, norm_scale
from relp_sae.features.ranking import Feature, Ranking, rank_features, top_features
from relp_sae.features.reading import read_features
from relp_sae.features.strongest import Strongest
from relp_sae.models import LanguageModel
from relp_sae.records import RunFolder, Site
from relp_sae.records.features import FeatureCard, FeatureCards
from relp_sae.saes import Dictionary
from relp_sae.tasks.encoding import encode

CONTEXT = 128
"""Tokens that are read together."""

MOVED = 10
"""Tokens on a card that the feature promotes, and as many that it suppresses."""

PROMPTS = 64
"""The most clean prompts over which the final norm's scale is averaged."""


@dataclass(frozen=True)
class CardSettings:
    """``top`` features of each ranking, each with up to ``contexts`` contexts from ``tokens``.

    The rankings are those of the run's truths and of ``methods``: names or labels (``relp``, or
    ``relp@clean`` for one of its bases); empty for every estimate of the run.
    """

    top: int = 10
    contexts: int = 5
    tokens: int = 200_000
    methods: tuple[str, ...] = ()


def _silent(_tokens: int) -> None:
    """Progress that shows nothing."""


def feature_cards(
    folder: RunFolder,
    model: LanguageModel,
    saes: Mapping[Site, Dictionary],
    documents: Iterable[str],
    settings: CardSettings | None = None,
    read: Callable[[int], object] = _silent,
) -> FeatureCards:
    """What a run's strongest features fire on in some documents, and which tokens they promote.

    Up to ``settings.tokens`` tokens are read, in passages of one document; ``read`` is called
    with the number of new ones as they pass. Nothing is saved: see ``RunFolder.write_features``.

    Raises:
        InputError: the folder has no scores or whole nodes, another model or SAE than the run's,
            a method that was not run, or too little text.
    """
    settings = settings or CardSettings()
    require_features(folder)
    rankings = [rank_features(one) for one in folder.read_scores()]
    require_inputs(folder, model, saes)
    ranked_by = chosen_rankings(rankings, settings.methods)
    top = top_features(ranked_by, settings.top)
    if not top:
        raise InputError(f"No feature differs between the two runs of {folder.path}'s pairs.")
    length = min(CONTEXT, _longest(model))
    text = first_tokens(
        _enough(passages(documents, model.tokenizer, length), length), settings.tokens
    )
    chosen = _by_site(top, saes)
    seen = read_features(model, chosen, text, settings.contexts, read)
    clean = (one.pair.clean_ids for one in folder.read_pairs() if not one.dropped)
    scale = norm_scale(model, islice(clean, PROMPTS))
    made: dict[Feature, FeatureCard] = {}
    for site, (dictionary, features) in chosen.items():
        moved = moved_tokens(model, dictionary, features, scale, MOVED)
        for card in _cards(site, features, rankings, seen[site], moved):
            made[card.site, card.feature] = card
    read_once = next(iter(seen.values()))
    return FeatureCards(
        top=settings.top,
        ranked_by=tuple(one.score.label for one in ranked_by),
        tokens=read_once.tokens,
        documents=read_once.documents,
        norm_scale=scale,
        cards=tuple(made[feature] for feature in top),
    )


def _by_site(
    top: Sequence[Feature], saes: Mapping[Site, Dictionary]
) -> dict[Site, tuple[Dictionary, list[int]]]:
    """The dictionaries that have one of the features, each with the numbers of its own."""
    numbers = {site: [number for name, number in top if name == str(site)] for site in saes}
    return {site: (saes[site], some) for site, some in numbers.items() if some}


def _cards(
    site: Site,
    features: Sequence[int],
    rankings: Sequence[Ranking],
    seen: Strongest,
    moved: Sequence[Moved],
) -> Iterator[FeatureCard]:
    """A card for each of a site's features."""
    contexts, names = seen.contexts(), [(str(site), feature) for feature in features]
    scores = [ranking.scores(names) for ranking in rankings]
    for i, feature in enumerate(features):
        acts = rankings[0].rows[names[i]]
        yield FeatureCard(
            site=str(site),
            feature=feature,
            pairs=acts.pairs,
            units=acts.units,
            scores=tuple(one[names[i]] for one in scores),
            density=float(seen.density[i]),
            largest=float(seen.largest[i]),
            contexts=contexts[i],
            promoted=moved[i][0],
            suppressed=moved[i][1],
        )


def _longest(model: LanguageModel) -> int:
    """The most tokens that the model reads behind its begin-of-sequence token."""
    most = getattr(model.config, "max_position_embeddings", None) or CONTEXT + 1
    return most - len(encode(model.tokenizer, ""))


def _enough(found: Iterator[Passage], length: int) -> Iterator[Passage]:
    """The same passages, once there is text for one whole one.

    Raises:
        InputError: there is not.
    """
    held: list[Passage] = []
    for passage in found:
        held.append(passage)
        if sum(len(one.ids) for one in held) >= length:
            return chain(held, found)
    tokens = sum(len(one.ids) for one in held)
    raise InputError(
        f"The text has {tokens} tokens, too few to show what a feature fires on: give at least "
        f"{length}, and better some hundred thousand."
    )
