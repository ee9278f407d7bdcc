"""The strongest contexts against a search over all positions, one passage at a time."""

import numpy as np
import pytest
import torch

from relp_sae.features import reading
from relp_sae.features.passages import first_tokens, passages
from relp_sae.features.ranking import rank_features, top_features
from relp_sae.models import massive_activations, read_sites
from relp_sae.records import FeatureScores, Units
from relp_sae.saes import load_saes

LENGTH, CONTEXTS, FEATURES = 12, 3, [5, 0, 33, 60]


def documents(tokenizer):
    """Twenty texts of 5 to 44 words, each of them one token; one text is there three times."""
    rng = np.random.default_rng(0)
    words = sorted(word for word in tokenizer.get_vocab() if word[:1] == " " and len(word) > 1)
    texts = ["".join(rng.choice(words, size=rng.integers(5, 45))) for _ in range(18)]
    return [*texts, texts[3], texts[3]]


def brute_force(model, dictionary, feature, outlier):
    """(|activation|, activation, marked text, document) of each document's strongest place."""
    best, active, looked_at = {}, 0, 0
    for passage in passages(documents(model.tokenizer), model.tokenizer, LENGTH):
        ids = torch.tensor([[0, *passage.ids]])
        x = read_sites(model, [dictionary.reads], ids)[0][dictionary.reads][0, 1:]
        norms = x.norm(dim=-1)
        acts = dictionary.encode(x).features[:, feature]
        for token in torch.nonzero(norms < outlier * norms.median())[:, 0].tolist():
            value, looked_at = acts[token].item(), looked_at + 1
            active += value != 0
            if abs(value) > best.get(passage.document, (0.0,))[0]:
                before, marked, after = passage.around(token, 16)
                best[passage.document] = (abs(value), value, (before, marked, after))
    found = {}
    for size, value, words in sorted(best.values(), reverse=True):
        if size > found.get(words, (0.0,))[0]:
            found[words] = (size, value)
    strongest = sorted(found.items(), key=lambda item: -item[1][0])[:CONTEXTS]
    return [(value, words) for words, (_, value) in strongest], active / looked_at


@torch.no_grad()
@pytest.mark.parametrize("outlier", [10.0, 1.05])
def test_the_contexts_are_the_strongest_places_of_all(
    gpt2_model, sae_folder, transcoder_folder, monkeypatch, outlier
):
    monkeypatch.setattr(massive_activations, "OUTLIER", outlier)
    monkeypatch.setattr(reading, "BATCH", 7)
    folders = [
        sae_folder("resid_pre.1", "topk"),
        sae_folder("resid_mid.1", "abstopk"),
        transcoder_folder("mlp_in.1", "mlp_out.1"),
    ]
    dictionaries, seen = load_saes([str(folder) for folder in folders]), []
    found = reading.read_features(
        gpt2_model,
        {site: (dictionary, FEATURES) for site, dictionary in dictionaries.items()},
        passages(documents(gpt2_model.tokenizer), gpt2_model.tokenizer, LENGTH),
        CONTEXTS,
        seen.append,
    )
    for site, dictionary in dictionaries.items():
        assert found[site].documents == 20
        assert found[site].tokens == sum(seen)
        check_contexts(gpt2_model, dictionary, found[site], outlier)


def check_contexts(model, dictionary, kept, outlier):
    contexts = kept.contexts()
    assert max(map(len, contexts)) == CONTEXTS
    for i, feature in enumerate(FEATURES):
        expected, density = brute_force(model, dictionary, feature, outlier)
        assert [(c.before, c.token, c.after) for c in contexts[i]] == [w for _, w in expected]
        values = [value for value, _ in expected]
        np.testing.assert_allclose([c.activation for c in contexts[i]], values, rtol=1e-4)
        assert kept.largest[i] == (contexts[i][0].activation if expected else 0)
        assert kept.density[i] == pytest.approx(density)


def test_passages_are_the_documents_cut_and_their_windows_the_text(gpt2_model):
    tokenizer = gpt2_model.tokenizer
    texts = [*documents(tokenizer)[:3], "John " * 2500]
    found = list(passages(texts, tokenizer, LENGTH))
    assert max(len(one.ids) for one in found) == LENGTH
    assert found[-1].document == 4  # the last text is too long to be one document
    for number, text in enumerate(texts[:3]):
        mine = [one for one in found if one.document == number]
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert [i for one in mine for i in one.ids] == ids
        before, token, after = mine[0].around(2, 16)
        assert text.startswith(before + token + after)
    some = list(first_tokens(iter(found), LENGTH + 1))
    assert sum(len(one.ids) for one in some) == LENGTH + 1


def test_features_rank_by_the_summed_size_of_their_scores():
    pair, feature = np.array([0, 0, 0, 1, 1, 1]), np.array([4, 4, 7, 4, 9, -1])
    score = np.array([2.0, -1.5, 3.0, -1.0, -0.5, 99.0])
    ones = np.ones(6)
    units = Units(pair, np.array(["resid_pre.1"] * 6), np.arange(6), feature, ones, ones)
    ranking = rank_features(FeatureScores("truth", "denoise", "corrupted", units, score, 0 * ones))
    four, seven, nine = (("resid_pre.1", number) for number in (4, 7, 9))
    assert ranking.top(5) == [four, seven, nine]
    assert tuple(ranking.rows[four]) == (4.5, pytest.approx((2.0 - 1.5 - 1.0) / 2), 2, 3)
    assert ranking.scores([seven])[seven].rank == 2
    score = np.array([0.1, 0.1, 0.1, 0.1, -5.0, 9.0])
    other = rank_features(FeatureScores("truth", "noise", "clean", units, score, 0 * ones))
    assert top_features([ranking, other], 1) == [four, nine]
