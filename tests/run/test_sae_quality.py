"""The quality of an SAE on the pairs of a run, counted out position by position."""

import numpy as np
import pytest
import torch

from relp_sae.models import at_sites
from relp_sae.records import FeatureScores, Site
from relp_sae.run.quality import completeness, error_share, sae_quality


@pytest.fixture(scope="module")
def run64(model64, make_run):
    """Two sites, float64."""
    return make_run(model64, "resid_pre.1", "mlp_out.2")


@torch.no_grad()
@pytest.mark.parametrize("site", [Site(1, "resid_pre"), Site(2, "mlp_out")], ids=str)
def test_quality_counted_out(run64, site):
    dictionary = run64.dictionaries[site]
    counts, xs, errors, metrics = [], [], [], []
    for pair in run64.pairs:
        for ids in (pair.clean_ids, pair.corrupted_ids):
            seen = []
            with at_sites(run64.model, {site: seen.append}):
                run64.model.last_logits(torch.tensor([ids]))
            for x in seen[0][0][pair.first_change :]:
                code = dictionary.encode(x[None])
                counts.append(int((code.features != 0).sum()))
                xs.append(x.numpy())
                errors.append((x - dictionary.decode(code)[0]).numpy())

        def swap(x, pair=pair):
            changed = x.clone()
            for pos in range(pair.first_change, x.shape[1]):
                changed[0, pos] = dictionary.decode(dictionary.encode(x[:, pos]))[0]
            return changed - x

        with at_sites(run64.model, {site: swap}):
            logits = run64.model.last_logits(torch.tensor([pair.clean_ids]))[0]
        metrics.append((logits[pair.answer] - logits[pair.foil]).item())
    quality = sae_quality(run64, site)
    assert quality.l0 == pytest.approx(np.mean(counts))
    variance = np.square(xs - np.mean(xs, axis=0)).sum()
    assert quality.explained_variance == pytest.approx(1 - np.square(errors).sum() / variance)
    clean = [one.clean_metric for one in run64.measured]
    assert quality.clean_metric == pytest.approx(np.mean(clean))
    assert quality.spliced_clean_metric == pytest.approx(np.mean(metrics))
    assert quality.spliced_clean_metric != pytest.approx(quality.clean_metric, rel=1e-2)
    assert (quality.source, quality.sha256) == (dictionary.source, dictionary.sha256())
    assert quality.trained_on == "tiny"


def test_the_share_of_error_units(run64):
    units = run64.units
    score = np.where(~units.is_error, 2.0, -3.0)
    truth = FeatureScores("truth", "denoise", "corrupted", units, score, np.zeros_like(score))
    for site in run64.sites:
        here = units.site == str(site)
        errors, features = (here & units.is_error).sum(), (here & ~units.is_error).sum()
        share = 3 * errors / (3 * errors + 2 * features)
        assert error_share(truth, str(site)) == pytest.approx(share)
        assert 0 < share < 1


def test_the_share_of_nothing(run64):
    zero = np.zeros(len(run64.units))
    truth = FeatureScores("truth", "denoise", "corrupted", run64.units, zero, zero)
    assert error_share(truth, str(run64.sites[0])) == 0


def test_completeness_pair_by_pair(run64):
    units = run64.units
    score = np.random.default_rng(0).normal(size=len(units))
    estimate = FeatureScores("estimate", "any", "both", units, score, np.zeros_like(score))
    errors = []
    for pair, measured in enumerate(run64.measured):
        rows = (units.pair == pair) & (units.site == "resid_pre.1")
        total = measured.clean_metric - measured.corrupted_metric
        errors.append(abs(score[rows].sum() - total) / abs(total))
    found = completeness(run64, estimate)
    assert list(found) == ["resid_pre.1"]  # an MLP's output is no cut of the network
    assert found["resid_pre.1"].largest == pytest.approx(max(errors))
    assert found["resid_pre.1"].median == pytest.approx(np.median(errors))
