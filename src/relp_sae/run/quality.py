"""How good is a dictionary on the very pairs of a run?"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from relp_sae.records import FeatureScores, PromptPair, Site
from relp_sae.records.manifest import Completeness, SaeQuality
from relp_sae.run.measurement import answers_and_foils
from relp_sae.run.paired_run import PairedRun
from relp_sae.saes import Dictionary, changed
from relp_sae.saes.dictionary import positions_at_once, reconstruction


@torch.no_grad()
def sae_quality(run: PairedRun, site: Site) -> SaeQuality:
    """L0, explained variance and splice of a site's dictionary on the kept pairs.

    Positions from the first changed token on, of both runs; the variance is around their mean.
    """
    dictionary = run.dictionaries[site]
    positions = positions_at_once(dictionary)
    sums, spliced, analysed = _Sums.nothing(run.model.width(site)), [], set(run.kept)
    for members in run.activations.batches:
        kept = [index for index in members if index in analysed]
        for index in kept:
            seen, start = run.activations[index], run.pairs[index].first_change
            for x in (seen.clean, seen.corrupted):
                both = (x[one][start:].split(positions) for one in (dictionary.reads, site))
                for read, written in zip(*both, strict=True):
                    sums = sums.with_positions(read, written, dictionary)
        if kept:
            spliced += _spliced_metrics(run, dictionary, [run.pairs[index] for index in kept])
    return SaeQuality(
        source=dictionary.source,
        reads=str(dictionary.reads),
        trained_on=dictionary.model_name,
        sha256=dictionary.sha256(),
        l0=sums.active / sums.positions,
        explained_variance=1 - sums.squared_error / sums.variance,
        clean_metric=float(np.mean([run.behaviours[i].clean_metric for i in run.kept])),
        spliced_clean_metric=float(np.mean(spliced)),
    )


def _spliced_metrics(
    run: PairedRun, dictionary: Dictionary, pairs: list[PromptPair]
) -> list[float]:
    """The clean metric of pairs of equal length with the reconstruction in place of x."""
    model = run.model

    def change(read: Tensor, x: Tensor) -> Tensor:
        change = reconstruction(dictionary, read) - x
        for row, pair in enumerate(pairs):
            change[row, : pair.first_change] = 0
        return change

    with changed(model, dictionary, change):
        logits = model.last_logits(torch.cat([model.token_ids(pair.clean_ids) for pair in pairs]))
    return run.metric(logits, *answers_and_foils(model, pairs)).tolist()


@dataclass(frozen=True, eq=False)
class _Sums:
    """Over positions: of x (width,) and its square, of |x - x_hat|^2 and of active features."""

    positions: int
    x: Float[Tensor, "width"]
    squares: Float[Tensor, "width"]
    squared_error: float
    active: int

    @staticmethod
    def nothing(width: int) -> "_Sums":
        zeros = torch.zeros(width, dtype=torch.float64)
        return _Sums(0, zeros, zeros, 0.0, 0)

    def with_positions(
        self,
        read: Float[Tensor, "pos d_in"],
        x: Float[Tensor, "pos d_out"],
        dictionary: Dictionary,
    ) -> "_Sums":
        """These sums and those over more positions."""
        code = dictionary.encode(read)
        error = (x - dictionary.decode(code)).double()
        return _Sums(
            self.positions + len(x),
            self.x + x.double().sum(0).cpu(),
            self.squares + x.double().square().sum(0).cpu(),
            self.squared_error + error.square().sum().item(),
            self.active + int((code.features != 0).sum()),
        )

    @property
    def variance(self) -> float:
        """sum |x - mean x|^2."""
        return (self.squares - self.x.square() / self.positions).sum().item()


def error_share(truth: FeatureScores, site: str) -> float:
    """The share of sum(|effect|) at a site that its error units carry; 0 when there is none."""
    here = truth.units.site == site
    effects = np.abs(truth.score[here])
    total = effects.sum()
    return float(effects[truth.units.is_error[here]].sum() / total) if total else 0.0


def completeness(run: PairedRun, estimate: FeatureScores) -> dict[str, Completeness]:
    """How far an estimate's scores are from adding up to m(clean) - m(corrupted), by site.

    Only at resid_* sites, through which the whole effect passes, and not where a later SAE's error
    term is held, which keeps some of it back; a pair whose two metrics are equal has no relative
    error and is left out.
    """
    units, found = estimate.units, {}
    totals = np.array([one.clean_metric - one.corrupted_metric for one in run.measured])
    asked = np.array([pair for pair in run.kept if totals[pair]], dtype=int)
    for site in run.sites:
        if not site.kind.startswith("resid") or run.held(site) or not len(asked):
            continue
        here = units.site == str(site)
        sums = np.bincount(units.pair[here], estimate.score[here], minlength=len(totals))
        errors = np.abs(sums - totals)[asked] / np.abs(totals[asked])
        found[str(site)] = Completeness(
            largest=float(errors.max()), median=float(np.median(errors))
        )
    return found
