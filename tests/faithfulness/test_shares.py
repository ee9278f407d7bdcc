"""The interval of a share, next to Wilson's formula written out."""

import pytest
from scipy import stats

from relp_sae.faithfulness import share_interval


@pytest.mark.parametrize(("hits", "trials"), [(0, 5), (5, 5), (24, 32), (17, 32), (1, 1)])
def test_wilson(hits, trials):
    p, z = hits / trials, stats.norm.ppf(0.975)
    middle = p + z**2 / (2 * trials)
    half = z * (p * (1 - p) / trials + z**2 / (4 * trials**2)) ** 0.5
    found = share_interval(hits, trials)
    assert found.value == p
    low, high = ((middle + sign * half) / (1 + z**2 / trials) for sign in (-1, 1))
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-12)
