"""What exact patches of a few units say of an estimate, as a table."""

import math
from collections.abc import Sequence

from relp_sae.records import Certificate
from relp_sae.report.blocks import Section, Table
from relp_sae.report.wording import table


def certificates_section(found: Sequence[Certificate]) -> list[Section]:
    """The certificates with what they mean; nothing where none were made."""
    if not found:
        return []
    text = (
        "A certificate judges an estimate from a small budget of exact patches, as one would "
        "without the truths of this report: half of the budget goes to its top units, the rest is "
        "drawn at random with known chances. From these follow the Pearson to expect over the "
        "units of all pairs together, with its 95 % interval, and a share of the true top k that "
        "is among the patched units with 95 % confidence, whatever the other effects are. 0 % "
        "says that the budget guarantees nothing."
    )
    return [Section("Certificates", (text, certificate_table(found)))]


def certificate_table(found: Sequence[Certificate]) -> Table:
    """One row per estimate and truth; shares are rounded down, for they are guarantees."""
    tops = sorted({recall.k for one in found for recall in one.recalls})
    rows = []
    for one in found:
        shares = {recall.k: _at_least(recall.at_least) for recall in one.recalls}
        budget = f"{one.patched} of {one.units}"
        rows.append(
            (one.label, one.truth, budget, one.pearson, *(shares.get(k, "-") for k in tops))
        )
    header = (
        "estimate",
        "truth",
        "patched",
        "Pearson to expect",
        *(f"of the true top {k}" for k in tops),
    )
    caption = "Certificates: expected agreement [95 % interval], share of the true top k patched"
    return table(caption, header, rows, labels=2)


def _at_least(share: float) -> str:
    """
    >>> _at_least(0.999), _at_least(1.0), _at_least(0.29)
    ('99 %', '100 %', '29 %')
    """
    return f"{math.floor(100 * share + 1e-9)} %"
