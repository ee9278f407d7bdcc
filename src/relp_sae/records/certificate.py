"""The certificate of an attribution: what exact patches of a few units say about all of them."""

from dataclasses import dataclass

from relp_sae.records.agreement import Interval


@dataclass(frozen=True)
class Recall:
    """How many of the true top ``k`` units, by |effect|, are among those that were patched.

    ``at_least`` is a lower bound on their share that holds with 95 % confidence, whatever the
    effects of the others are; 0 says that this budget guarantees nothing.
    """

    k: int
    at_least: float


@dataclass(frozen=True)
class Certificate:
    """How reliable an estimate is, judged from ``patched`` of its ``units`` units.

    ``pearson`` is the agreement with ``truth`` to expect over all units of all pairs together,
    with its 95 % interval; error units are not counted.
    """

    estimate: str
    base: str
    truth: str
    units: int
    patched: int
    pearson: Interval
    recalls: tuple[Recall, ...]

    @property
    def label(self) -> str:
        """Name and base of the estimate as shown to people."""
        return self.estimate if self.base == "both" else f"{self.estimate}@{self.base}"
