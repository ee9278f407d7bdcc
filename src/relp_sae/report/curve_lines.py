"""From the measured circuit curves to the lines that are drawn."""

import numpy as np
import pandas as pd
from jaxtyping import Float

from relp_sae.faithfulness.resampling import draw_pairs, with_interval
from relp_sae.report.contents import Records
from relp_sae.report.curve_figure import Panel
from relp_sae.report.curves import BY_SIZE, NATURAL, natural_rankings, shown_sites
from relp_sae.report.lines import Line

POINTS = 33
"""Places at which a mean curve is drawn, evenly over log share."""

OF_INTEREST = (
    *("gradient", "gradient-mean", "relp", "relp-mean", "secant", "integrated-gradients"),
    "random",
)
"""The methods that are drawn, by their names without a number; the others stand in the tables."""


def curve_grid(records: Records) -> list[list[Panel]]:
    """A row for each shown site with a panel for each direction; empty without curves."""
    if records.curves is None or not records.findings.curves:
        return []
    sites = shown_sites(records.findings.curves)
    return [[_panel(records, site, direction) for direction in NATURAL] for site in sites]


def _panel(records: Records, site: str, direction: str) -> Panel:
    frame = records.curves
    assert frame is not None
    asked = (frame["site"] == site) & (frame["direction"] == direction)
    here = frame.loc[asked & (frame["order"] == BY_SIZE) & (frame["units"] > 0)]
    chosen = natural_rankings(records.findings.curves, direction, records)
    estimates, truths = [], []
    for ranking, is_truth in chosen.items():
        name = ranking.partition("@")[0]
        own = here.loc[here["ranking"] == ranking]
        if len(own) and (is_truth or _of_interest(name)):
            (truths if is_truth else estimates).append(_line(own, name, records))
    return Panel(site, direction, estimates, truths)


def _of_interest(name: str) -> bool:
    """Whether a method is drawn: of those with steps only the plain one, or integrated gradients.

    >>> _of_interest("secant"), _of_interest("secant:2"), _of_interest("integrated-gradients:20")
    (True, False, True)
    """
    return name in OF_INTEREST or name.startswith("integrated-gradients:")


def _line(frame: pd.DataFrame, name: str, records: Records) -> Line:
    """F at shares of the units, with its bootstrap interval over pairs.

    As in the areas, F is the mean gain of the top units over the mean gain of all of them.
    """
    config = records.manifest.config
    pairs = [frame.loc[frame["pair"] == pair] for pair in np.unique(frame["pair"])]
    shares = np.geomspace(max(1 / one["units"].to_numpy()[0] for one in pairs), 1, POINTS)
    gains = np.stack([gain(one, shares) for one in pairs])
    draws = draw_pairs(len(pairs), config.bootstrap, config.seed).astype(float)
    means, resampled = _carried(gains, np.ones((1, len(pairs))))[0], _carried(gains, draws)
    points = [
        with_interval(float(value), column, len(pairs), "")
        for value, column in zip(means, resampled.T, strict=True)
    ]
    return Line(name, name, shares.tolist(), points)


def gain(frame: pd.DataFrame, shares: Float[np.ndarray, "points"]) -> Float[np.ndarray, "points"]:
    """m(top k) - m(none) of one pair at shares k / n of its units, straight over log k between."""
    one = frame.loc[frame["k"] > 0].sort_values(by="k")
    at = np.log((one["k"] / one["units"]).to_numpy(float))
    return np.interp(np.log(shares), at, (one["metric"] - one["metric_none"]).to_numpy(float))


def _carried(
    gains: Float[np.ndarray, "pairs points"], counts: Float[np.ndarray, "draws pairs"]
) -> Float[np.ndarray, "draws points"]:
    """F when pair i counts ``counts[:, i]`` times; NaN where all units together gain nothing."""
    found = counts @ gains
    whole = found[:, -1:]
    return np.divide(found, whole, out=np.full_like(found, np.nan), where=whole != 0)
