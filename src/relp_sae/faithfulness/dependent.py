"""Textbook tests of two correlations that share the truth. Descriptive only, never the headline.

They take all n units for independent draws. The units of one pair share one backward vector and
features recur over pairs, so they are not, and these tests reject a true null far too often: see
docs/results/nulls. They are shown because readers know them.

In the formulas j is the truth, k and h are the two methods, Z = atanh(r) and |R| is the determinant
of the correlation matrix. All p-values are two-sided.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from scipy.stats import norm, t

from relp_sae.faithfulness.measures import Undefined
from relp_sae.records import DependentTest

NEARLY_ONE = 1 - 1e-12
"""Correlations beyond this have no usable Fisher z."""

Z_95 = float(norm.ppf(0.975))


@dataclass(frozen=True)
class Correlations:
    """r(truth, first), r(truth, second), r(first, second), and the number of units."""

    jk: float
    jh: float
    kh: float
    n: int

    @property
    def determinant(self) -> float:
        """|R| of the three; negative where they cannot occur together."""
        jk, jh, kh = self.jk, self.jh, self.kh
        return 1 + 2 * jk * jh * kh - jk**2 - jh**2 - kh**2

    @property
    def z_difference(self) -> float:
        """Fisher's Z of the first less that of the second."""
        return math.atanh(self.jk) - math.atanh(self.jh)

    def require_usable(self) -> None:
        """
        Raises:
            Undefined: the formulas have no value for these correlations.
        """
        if any(math.isnan(r) for r in (self.jk, self.jh, self.kh)):
            raise Undefined("a correlation is undefined")
        if self.n <= 3:
            raise Undefined("3 units or fewer")
        if abs(self.jk) > NEARLY_ONE or abs(self.jh) > NEARLY_ONE:
            raise Undefined("a correlation with the truth is 1 or -1")
        if abs(self.kh) > NEARLY_ONE:
            raise Undefined("the two estimates are perfectly correlated")
        if self.determinant < -1e-12:
            raise Undefined("these three correlations cannot occur together")


def dependent_tests(jk: float, jh: float, kh: float, n: int) -> tuple[DependentTest, ...]:
    """Every test of r(truth, first) = r(truth, second); positive where the first is larger.

    ``jk``, ``jh`` and ``kh`` are r(truth, first), r(truth, second) and r(first, second) over ``n``
    units. Where a formula has no value the test is NaN and says why.
    """
    found = Correlations(jk, jh, kh, n)
    return tuple(_tested(name, test, found) for name, test in TESTS.items())


def _tested(
    name: str, test: Callable[[Correlations], DependentTest], found: Correlations
) -> DependentTest:
    try:
        found.require_usable()
        return test(found)
    except Undefined as undefined:
        return DependentTest(name, math.nan, math.nan, math.nan, math.nan, str(undefined))


def williams(r: Correlations) -> DependentTest:
    """t with n - 3 degrees of freedom. Source: Williams 1959, in the form of Steiger 1980."""
    middle = (r.jk + r.jh) / 2
    below = 2 * (r.n - 1) / (r.n - 3) * r.determinant + middle**2 * (1 - r.kh) ** 3
    if below <= 0:
        raise Undefined("its standard error is zero")
    value = (r.jk - r.jh) * math.sqrt((r.n - 1) * (1 + r.kh) / below)
    return DependentTest("williams", value, float(2 * t.sf(abs(value), r.n - 3)), *NO_ENDS)


def dunn_clark(r: Correlations) -> DependentTest:
    """z. Source: Dunn and Clark 1969."""
    return _z_test("dunn-clark", r, _covariance(r.jk, r.jh, r.kh))


def steiger(r: Correlations) -> DependentTest:
    """z; both correlations in the covariance are their mean. Source: Steiger 1980."""
    middle = (r.jk + r.jh) / 2
    return _z_test("steiger", r, _covariance(middle, middle, r.kh))


def meng_rosenthal_rubin(r: Correlations) -> DependentTest:
    """z. Source: Meng, Rosenthal and Rubin 1992."""
    square = (r.jk**2 + r.jh**2) / 2
    f = min(1.0, (1 - r.kh) / (2 * (1 - square)))
    h = (1 - f * square) / (1 - square)
    value = r.z_difference * math.sqrt((r.n - 3) / (2 * (1 - r.kh) * h))
    return _normal("meng-rosenthal-rubin", value)


def hittner(r: Correlations) -> DependentTest:
    """z; both correlations in the covariance are tanh of their mean Z.

    Source: Hittner, May and Silver 2003.
    """
    middle = math.tanh((math.atanh(r.jk) + math.atanh(r.jh)) / 2)
    return _z_test("hittner", r, _covariance(middle, middle, r.kh))


def zou(r: Correlations) -> DependentTest:
    """The 95 % interval of r(truth, first) - r(truth, second), which is its value.

    It has no p-value: it rejects where the interval does not hold 0. Source: Zou 2007.
    """
    low_k, high_k = _fisher_ends(r.jk, r.n)
    low_h, high_h = _fisher_ends(r.jh, r.n)
    c = (r.kh - r.jk * r.jh / 2) * (1 - r.jk**2 - r.jh**2 - r.kh**2) + r.kh**3
    c /= (1 - r.jk**2) * (1 - r.jh**2)
    down, up = r.jk - low_k, high_k - r.jk
    low = _joint(down, high_h - r.jh, c)
    high = _joint(up, r.jh - low_h, c)
    value = r.jk - r.jh
    return DependentTest("zou", value, math.nan, value - low, value + high, "an interval, no p")


def _covariance(jk: float, jh: float, kh: float) -> float:
    """c: the correlation of the two Z."""
    top = kh * (1 - jk**2 - jh**2) - jk * jh * (1 - jk**2 - jh**2 - kh**2) / 2
    return top / ((1 - jk**2) * (1 - jh**2))


def _z_test(name: str, r: Correlations, c: float) -> DependentTest:
    """(Z_jk - Z_jh) sqrt(n - 3) / sqrt(2 - 2c)."""
    if c >= NEARLY_ONE:
        raise Undefined(f"the formula gives its two Z a correlation of {c:.2f}, which is 1 or more")
    return _normal(name, r.z_difference * math.sqrt(r.n - 3) / math.sqrt(2 - 2 * c))


def _normal(name: str, value: float) -> DependentTest:
    return DependentTest(name, value, float(2 * norm.sf(abs(value))), *NO_ENDS)


def _fisher_ends(r: float, n: int) -> tuple[float, float]:
    """The 95 % interval of one correlation."""
    half = Z_95 / math.sqrt(n - 3)
    return math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half)


def _joint(one: float, other: float, c: float) -> float:
    """The length of one arm of Zou's interval from those of two correlated ones."""
    square = one**2 + other**2 - 2 * c * one * other
    if square < 0:
        raise Undefined(f"the formula gives the two correlations a correlation of {c:.2f}")
    return math.sqrt(square)


NO_ENDS = (math.nan, math.nan)

TESTS: dict[str, Callable[[Correlations], DependentTest]] = {
    "williams": williams,
    "dunn-clark": dunn_clark,
    "steiger": steiger,
    "meng-rosenthal-rubin": meng_rosenthal_rubin,
    "hittner": hittner,
    "zou": zou,
}
