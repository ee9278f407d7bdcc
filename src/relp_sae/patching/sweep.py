"""Effects of larger and smaller steps: one unit's step scaled, and sets of units together."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import comb

import numpy as np
import pandas as pd
from jaxtyping import Float

from relp_sae.models import forward_order
from relp_sae.patching.engine import Engine
from relp_sae.patching.sets import Members, UnitSets, sets_at_sites
from relp_sae.patching.single_units import Change, step_effects
from relp_sae.patching.truth import UnitRows, require_precision
from relp_sae.run import PairedRun

SETS = 32
"""How many sets of each size, where there are as many."""


def scaled_effects(
    run: PairedRun, rows: UnitRows, scales: Sequence[float], engine: Engine
) -> pd.DataFrame:
    """m(corrupted run + scale * one unit's step) - m(corrupted run), in the metric's unit.

    One row per ``pair, site, pos, feature, scale``, with its ``effect``; scale 1 is the denoising
    effect.

    Raises:
        InputError: a model in bfloat16.
    """
    require_precision(run.model.dtype)
    units = run.units.chosen(rows)
    columns = {"pair": units.pair, "site": units.site, "pos": units.pos, "feature": units.feature}
    frames = []
    for scale in scales:
        effect = step_effects(run, rows, Change(scale=scale), engine)
        frames.append(pd.DataFrame({**columns, "scale": scale, "effect": effect}))
    return pd.concat(frames, ignore_index=True)


def set_effects(
    run: PairedRun,
    pair: int,
    estimates: Mapping[str, Float[np.ndarray, "units"]],
    sizes: Sequence[int],
    seed: int,
    engine: Engine,
) -> pd.DataFrame:
    """The effects of random sets of units at each site of one pair. See `site_set_effects`.

    ``estimates`` maps a label to scores in the order of ``run.units_of(pair)``.

    Raises:
        InputError: a model in bfloat16.
        ValueError: an estimate of another number of units, or no estimate.
    """
    found = sets_at_sites(run, pair, estimates, engine)
    frames = [site_set_effects(sets, here, sizes, seed) for sets, here in found]
    return pd.concat(frames, ignore_index=True)


def site_set_effects(
    sets: UnitSets,
    estimates: Mapping[str, Float[np.ndarray, "units"]],
    sizes: Sequence[int],
    seed: int,
    count: int = SETS,
) -> pd.DataFrame:
    """m(corrupted run with a set of a site's units clean) - m(corrupted run), in long form.

    One row per ``pair, site, size, set, estimate``: the set's ``effect`` and the sum of the
    estimate's scores over it, ``predicted``. Up to ``count`` different sets of each size, error
    units among them, drawn by the seed, the pair's index, the site and the size; size 0 is the one
    set of all units. A size that the site does not have units for is left out.
    """
    drawn = {size: _drawn_sets(sets, size, seed, count) for size in sizes}
    members = np.concatenate([*drawn.values(), np.zeros((1, len(sets)), bool)])
    values = sets.metric(members)
    columns = {
        **{"pair": sets.pair, "site": str(sets.site)},
        "size": np.repeat(list(drawn), [len(one) for one in drawn.values()]),
        "set": np.concatenate([np.arange(len(one)) for one in drawn.values()]),
        "effect": values[:-1] - values[-1],
    }
    frames = []
    for name, scores in estimates.items():
        # Not members @ scores, which would make numbers of all the members first.
        predicted = np.array([scores[row].sum() for row in members[:-1]])
        frames.append(pd.DataFrame({**columns, "estimate": name, "predicted": predicted}))
    return pd.concat(frames, ignore_index=True)


def _drawn_sets(sets: UnitSets, size: int, seed: int, count: int) -> Members:
    draw = np.random.default_rng([seed, sets.pair, *forward_order(sets.site), size])
    return random_sets(len(sets), size or len(sets), count, draw)


def random_sets(units: int, size: int, count: int, draw: np.random.Generator) -> Members:
    """``count`` different sets of ``size`` of the units, or all such sets where there are fewer."""
    if comb(units, size) <= count:
        chosen = list(combinations(range(units), size))
    else:
        found: dict[tuple[int, ...], None] = {}
        while len(found) < count:
            found[tuple(sorted(draw.choice(units, size, replace=False).tolist()))] = None
        chosen = list(found)
    members = np.zeros((len(chosen), units), bool)
    for row, one in zip(members, chosen, strict=True):
        row[list(one)] = True
    return members
