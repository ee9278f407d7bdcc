"""Methods whose slopes are those of a composite, at one run or averaged over both."""

from collections.abc import Sequence

import numpy as np

from relp_sae.attribution.activations import BOTH
from relp_sae.attribution.method import Method, Passes
from relp_sae.attribution.slopes import composite_slopes
from relp_sae.attribution.unit_scores import slope_scores
from relp_sae.records.scores import Base
from relp_sae.run import PairedRun


def composite_method(composite: str) -> Method:
    """The method whose slopes are those of a composite, at the corrupted or the clean run.

    One backward pass gives the slopes at every site.
    """
    return Method(_scores(composite), composite=composite)


def mean_method(composite: str) -> Method:
    """The method whose slopes are a composite's, averaged over the corrupted and the clean run."""
    return Method(_scores(composite), ("both",), composite, passes=lambda _sites: Passes(2, 2))


def _scores(composite: str):
    def scores(run: PairedRun, pairs: Sequence[int], base: Base) -> list[np.ndarray]:
        prompts = BOTH if base == "both" else (base,)
        return slope_scores(run, pairs, composite_slopes(run, pairs, composite, prompts))

    return scores
