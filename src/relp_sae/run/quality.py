"""How good is a dictionary on the very pairs of a run?"""

import numpy as np
import torch

from relp_sae.records import FeatureScores, Site
from relp_sae.records.manifest import Completeness, SaeQuality
from relp_sae.run.paired_run import PairedRun
from relp_sae.saes import reconstructed


@torch.no_grad()
def sae_quality(run: PairedRun, site: Site) -> SaeQuality:
    """L0, explained variance and splice of a site's dictionary on the kept pairs.

    Positions from the first changed token on, of both runs; the variance is around their mean.
    """
    dictionary = run.dictionaries[site]
    inputs, errors, active, spliced = [], [], [], []
    for index in run.kept:
        seen, start = run.activations[index], run.pairs[index].first_change
        for x in (seen.clean[site][start:], seen.corrupted[site][start:]):
            code = dictionary.encode(x)
            inputs.append(x)
            errors.append(x - dictionary.decode(code))
            active.append((code.features != 0).sum(-1))
        with reconstructed(run.model, dictionary, start):
            logits = run.model.last_logits(run.model.token_ids(run.pairs[index].clean_ids))
        spliced.append(run.metric_of(index, logits).item())
    x, error = torch.cat(inputs).double(), torch.cat(errors).double()
    variance = (x - x.mean(0)).square().sum()
    return SaeQuality(
        source=dictionary.source,
        trained_on=dictionary.model_name,
        sha256=dictionary.sha256(),
        l0=torch.cat(active).double().mean().item(),
        explained_variance=(1 - error.square().sum() / variance).item(),
        clean_metric=float(np.mean([run.activations[i].clean_metric for i in run.kept])),
        spliced_clean_metric=float(np.mean(spliced)),
    )


def error_share(truth: FeatureScores, site: str) -> float:
    """The share of sum(|effect|) at a site that its error units carry; 0 when there is none."""
    here = truth.units.site == site
    effects = np.abs(truth.score[here])
    total = effects.sum()
    return float(effects[truth.units.is_error[here]].sum() / total) if total else 0.0


def completeness(run: PairedRun, estimate: FeatureScores) -> dict[str, Completeness]:
    """How far an estimate's scores are from adding up to m(clean) - m(corrupted), by site.

    Only at resid_* sites, through which the whole effect passes; a pair whose two metrics are
    equal has no relative error and is left out.
    """
    units, found = estimate.units, {}
    for site in run.sites:
        errors = []
        for pair in run.kept:
            total = run.measured[pair].clean_metric - run.measured[pair].corrupted_metric
            here = (units.pair == pair) & (units.site == str(site))
            if total:
                errors.append(abs(estimate.score[here].sum() - total) / abs(total))
        if site.kind.startswith("resid") and errors:
            largest, median = float(np.max(errors)), float(np.median(errors))
            found[str(site)] = Completeness(largest=largest, median=median)
    return found
