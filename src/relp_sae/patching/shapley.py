"""The Shapley effect: what a unit adds, on average over the orders in which units become clean."""

from collections.abc import Callable
from math import comb

import numpy as np
from jaxtyping import Float, Int

from relp_sae.models import forward_order
from relp_sae.patching.sets import Members, sets_at_sites
from relp_sae.patching.truth import Effects, Measuring, Truth, UnitRows, truths
from relp_sae.run import PairedRun

ValueOf = Callable[[Members], Float[np.ndarray, "sets"]]
"""The value of each of several sets of players."""

ROUND = 4
"""Samples, of two permutations each, between two looks at the standard error."""

SET_BYTES = 2**26
"""How large the members of the sets that are evaluated together may be: 64 MiB. The sets of one
permutation have as many members as there are players, each; together they grow as its square."""


def shapley(run: PairedRun, rows: UnitRows, measuring: Measuring) -> Effects:
    """The mean marginal contribution of each unit when a site's units become clean in random order.

    In the metric's unit; positive supports the answer. Each site is a game of its own, whose
    players are its units, error units included; the value of a set is the metric of the corrupted
    run with that set clean. So the effects of a site sum to m(all its units clean) - m(corrupted),
    which at a resid_* site is m(clean) - m(corrupted). Sites are measured one after the other: with
    several of them in one game a step at the first would be counted again at the next.

    Sampled where the game is too large to be enumerated, by draws that depend on the seed, the
    pair's index and the site alone. Shapley 1953; for features of a model Lundberg and Lee 2017
    (arXiv 1705.07874).
    """
    found = []
    for pair in np.unique(run.units.pair[rows]).tolist():
        for sets, _ in sets_at_sites(run, pair, {}, measuring.engine):
            draw = np.random.default_rng([measuring.seed, pair, *forward_order(sets.site)])
            found.append(shapley_values(sets.metric, len(sets), measuring, draw))
    return Effects(
        np.concatenate([one.effect for one in found]),
        np.concatenate([one.stderr for one in found]),
    )


def shapley_values(
    value_of: ValueOf, players: int, measuring: Measuring, draw: np.random.Generator
) -> Effects:
    """The Shapley values (players,) of a game; they sum to value(all) - value(none).

    Exact when all 2^players sets are no more than the sets of the permutations allowed. Otherwise
    from antithetic permutations, ``ROUND`` samples at a time, until the root mean square standard
    error is ``tolerance`` times the standard deviation of the values, or ``permutations`` are used.
    """
    if 2**players <= measuring.permutations * (players + 1):
        return Effects.exact(exact_values(value_of, players))
    samples = np.empty((0, players))
    while True:
        left = measuring.permutations // 2 - len(samples)
        orders = antithetic_orders(players, min(ROUND, left), draw)
        drawn = marginal_contributions(value_of, orders)
        samples = np.concatenate([samples, drawn.reshape(-1, 2, players).mean(1)])
        effect = samples.mean(0)
        stderr = samples.std(0, ddof=1) / np.sqrt(len(samples))
        precise = np.sqrt(np.mean(stderr**2)) <= measuring.tolerance * effect.std()
        if precise or left <= ROUND:
            return Effects(effect, stderr)


def exact_values(value_of: ValueOf, players: int) -> Float[np.ndarray, "players"]:
    """Shapley values from all 2^players sets, each weighted by the orders that pass through it."""
    sets, digits = np.arange(2**players), np.arange(players)
    parts = (part[:, None] >> digits & 1 for part in _few_at_a_time(sets, 8 * players))
    values = np.concatenate([value_of(members.astype(bool)) for members in parts])
    size = np.bitwise_count(sets)
    orders = np.array([1 / (players * comb(players - 1, k)) for k in range(players)])
    found = np.empty(players)
    for player in range(players):
        without = sets[sets >> player & 1 == 0]
        gained = values[without | 1 << player] - values[without]
        found[player] = (orders[size[without]] * gained).sum()
    return found


def antithetic_orders(
    players: int, pairs: int, draw: np.random.Generator
) -> Int[np.ndarray, "orders players"]:
    """Permutations in pairs, each followed by its reverse (2 * pairs, players).

    A player that comes early in one comes late in the other, so the mean of the two varies less
    where an early step adds more than a late one, or less (Mitchell et al. 2022, arXiv 2104.12199).
    """
    forward = draw.permuted(np.tile(np.arange(players), (pairs, 1)), axis=1)
    return np.stack([forward, forward[:, ::-1]], axis=1).reshape(-1, players)


def marginal_contributions(
    value_of: ValueOf, orders: Int[np.ndarray, "orders players"]
) -> Float[np.ndarray, "orders players"]:
    """What each player adds to the value when the players join in each of the orders."""
    count, players = orders.shape
    place = orders.argsort(1)  # of each player in each order
    values = []
    for sizes in _few_at_a_time(np.arange(players + 1), place.size):
        members = place[:, None, :] < sizes[:, None]  # the first so many of each order
        values.append(value_of(members.reshape(-1, players)).reshape(count, len(sizes)))
    gained = np.diff(np.concatenate(values, axis=1), axis=1)
    return np.take_along_axis(gained, place, axis=1)


def _few_at_a_time(sets: Int[np.ndarray, "sets"], each: int) -> list[Int[np.ndarray, "_"]]:
    """The sets in pieces within ``SET_BYTES``, where the members of one take ``each`` bytes."""
    most = max(1, SET_BYTES // max(1, each))
    return np.split(sets, np.arange(most, len(sets), most))


truths.register("shapley")(Truth(shapley, base="both", whole_pairs=True))
