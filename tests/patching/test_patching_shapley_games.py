"""Shapley values of games written down here: no model, so that every number can be known."""

import tracemalloc
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relp_sae.patching import shapley
from relp_sae.patching.shapley import (
    antithetic_orders,
    exact_values,
    marginal_contributions,
    shapley_values,
)
from relp_sae.patching.truth import Measuring

PLAYERS = 14
"""Too many to enumerate within the permutations that the tests allow."""


def table_game(players, seed):
    """A game whose every set has a random value, and those values by the set's bits."""
    values = np.random.default_rng(seed).normal(size=2**players)
    return (lambda members: values[members @ (1 << np.arange(players))]), values


def smooth_game(members):
    """Saturating, with one pair of players that matter only together."""
    weights = np.linspace(-0.3, 0.8, PLAYERS)
    return np.tanh(members @ weights) + 0.5 * (members[:, 2] & members[:, 9])


def brute_force(value_of, players):
    """The mean over all orders of what each player adds: the definition."""
    total, orders = np.zeros(players), list(permutations(range(players)))
    for order in orders:
        members = np.zeros((players + 1, players), bool)
        for place, player in enumerate(order):
            members[place + 1 :, player] = True
        total[list(order)] += np.diff(value_of(members))
    return total / len(orders)


def sampled(game, players=PLAYERS, seed=0, **given):
    chosen = Measuring(**{"permutations": 16, "tolerance": 0.0, **given})
    return shapley_values(game, players, chosen, np.random.default_rng(seed))


@settings(max_examples=25, deadline=None)
@given(players=st.integers(1, 6), seed=st.integers(0, 10**6))
def test_exact_values_are_the_mean_over_all_orders(players, seed):
    game, _ = table_game(players, seed)
    expected = brute_force(game, players)
    np.testing.assert_allclose(exact_values(game, players), expected, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), permutations=st.integers(4, 20))
def test_values_sum_to_the_whole(seed, permutations):
    game, values = table_game(8, seed)
    found = sampled(game, 8, seed, permutations=permutations)
    assert found.stderr.any()
    assert found.effect.sum() == pytest.approx(values[-1] - values[0], abs=1e-12)
    assert exact_values(game, 8).sum() == pytest.approx(values[-1] - values[0], abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), dummy=st.integers(0, 7), worth=st.floats(-3, 3))
def test_a_player_that_always_adds_the_same_gets_just_that(seed, dummy, worth):
    """Zero for a dummy, without sampling error."""
    inner, _ = table_game(7, seed)

    def game(members):
        return inner(np.delete(members, dummy, axis=1)) + worth * members[:, dummy]

    found = sampled(game, 8, seed)
    assert found.effect[dummy] == pytest.approx(worth, abs=1e-12)
    assert found.stderr[dummy] == pytest.approx(0, abs=1e-12)
    assert exact_values(game, 8)[dummy] == pytest.approx(worth, abs=1e-12)


def test_players_that_can_change_places_get_the_same():
    weights = np.array([2.0, 0.5, 2.0, -1.0, 2.0])
    found = exact_values(lambda members: np.exp(members @ weights), 5)
    assert found[0] == pytest.approx(found[2], rel=1e-12)
    assert found[0] == pytest.approx(found[4], rel=1e-12)
    assert abs(found[0] - found[1]) > 1


@pytest.mark.parametrize("players", [0, 1, 2])
def test_the_smallest_games_are_exact(players):
    game, values = table_game(players, seed=3)
    found = sampled(game, players, permutations=4)
    assert found.effect.shape == found.stderr.shape == (players,)
    assert not found.stderr.any()
    assert found.effect.sum() == pytest.approx(values[-1] - values[0] if players else 0)


@pytest.mark.parametrize(("permutations", "largest"), [(4, 4), (16, 7), (100, 10)])
def test_a_game_is_enumerated_if_that_takes_no_more_sets_than_sampling(permutations, largest):
    for players in (largest, largest + 1):
        game, _ = table_game(players, seed=0)
        found = sampled(game, players, permutations=permutations)
        assert found.stderr.any() == (players > largest)


def test_orders_come_with_their_reverse():
    orders = antithetic_orders(9, 3, np.random.default_rng(0))
    assert orders.shape == (6, 9)
    np.testing.assert_array_equal(np.sort(orders, axis=1), np.tile(np.arange(9), (6, 1)))
    np.testing.assert_array_equal(orders[1::2], orders[::2, ::-1])
    assert len(np.unique(orders, axis=0)) == 6


def test_marginal_contributions_are_those_of_the_order():
    order = np.array([[2, 0, 1]])

    def game(members):
        return members @ np.array([1.0, 10.0, 100.0]) * members.sum(1)

    # {} 0, {2} 100, {2, 0} 202, {2, 0, 1} 333
    assert marginal_contributions(game, order).tolist() == [[102, 131, 100]]


def test_the_standard_error_is_honest():
    """Over many seeds the values scatter as the standard errors say, around the exact ones."""
    exact = exact_values(smooth_game, PLAYERS)
    found = [sampled(smooth_game, seed=seed) for seed in range(300)]
    effects = np.stack([one.effect for one in found])
    claimed = np.sqrt(np.mean([one.stderr**2 for one in found], axis=0))
    np.testing.assert_allclose(effects.std(0, ddof=1) / claimed, 1, atol=0.15)
    bias = effects.mean(0) - exact
    assert np.abs(bias / (effects.std(0, ddof=1) / np.sqrt(300))).max() < 4


def test_stopping_early_does_not_make_the_standard_error_much_too_small():
    exact = exact_values(smooth_game, PLAYERS)
    found = [
        sampled(smooth_game, seed=seed, permutations=200, tolerance=0.2) for seed in range(300)
    ]
    errors = np.stack([one.effect for one in found]) - exact
    claimed = np.sqrt(np.mean([one.stderr**2 for one in found]))
    assert np.sqrt(np.mean(errors**2)) / claimed == pytest.approx(1, abs=0.15)


def test_antithetic_orders_vary_less_than_independent_ones():
    draw = np.random.default_rng(0)
    pairs = marginal_contributions(smooth_game, antithetic_orders(PLAYERS, 500, draw))
    independent = draw.permuted(np.tile(np.arange(PLAYERS), (1000, 1)), axis=1)
    others = marginal_contributions(smooth_game, independent)
    variances = [one.reshape(-1, 2, PLAYERS).mean(1).var(0).mean() for one in (pairs, others)]
    assert variances[0] < 0.7 * variances[1]


def counting(game):
    rows = []

    def counted(members):
        rows.append(len(members))
        return game(members)

    return counted, rows


@pytest.mark.parametrize(("permutations", "used"), [(4, 4), (5, 4), (8, 8), (10, 10), (25, 24)])
def test_stops_at_the_budget(permutations, used):
    game, rows = counting(smooth_game)
    sampled(game, permutations=permutations)
    assert sum(rows) == used * (PLAYERS + 1)


def test_stops_at_the_tolerance():
    game, rows = counting(smooth_game)
    found = sampled(game, permutations=1000, tolerance=0.1)
    assert np.sqrt(np.mean(found.stderr**2)) <= 0.1 * found.effect.std()
    assert 8 * (PLAYERS + 1) < sum(rows) < 1000 * (PLAYERS + 1)
    coarse, few_rows = counting(smooth_game)
    sampled(coarse, permutations=1000, tolerance=10.0)
    assert sum(few_rows) == 8 * (PLAYERS + 1)


def test_the_seed_decides_every_number():
    first, again, other = (sampled(smooth_game, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.effect, again.effect)
    np.testing.assert_array_equal(first.stderr, again.stderr)
    assert (first.effect != other.effect).all()


def counted_bytes(game):
    sizes = []

    def counted(members):
        sizes.append(members.nbytes)
        return game(members)

    return counted, sizes


@pytest.mark.parametrize("size", [1, 300, 2**26])
def test_sets_evaluated_a_few_at_a_time_give_the_same_bits(monkeypatch, size):
    """Against all sets of all orders made at once."""
    monkeypatch.setattr(shapley, "SET_BYTES", size)
    orders = antithetic_orders(PLAYERS, 4, np.random.default_rng(0))
    place = orders.argsort(1)
    members = place[:, None, :] < np.arange(PLAYERS + 1)[:, None]
    values = np.stack([[smooth_game(one[None])[0] for one in order] for order in members])
    expected = np.take_along_axis(np.diff(values, axis=1), place, axis=1)
    game, sizes = counted_bytes(lambda sets: np.array([smooth_game(one[None])[0] for one in sets]))
    np.testing.assert_array_equal(marginal_contributions(game, orders), expected)
    assert max(sizes) <= max(size, orders.size)  # one set of each order is the least
    assert sum(sizes) == members.nbytes
    assert len(sizes) == {1: 15, 300: 8, 2**26: 1}[size]


def test_exact_values_a_few_sets_at_a_time_are_the_same_bits(monkeypatch):
    game, values = table_game(9, seed=0)
    whole = exact_values(game, 9)
    monkeypatch.setattr(shapley, "SET_BYTES", 1000)
    game, sizes = counted_bytes(game)
    np.testing.assert_array_equal(exact_values(game, 9), whole)
    assert len(sizes) == 512 // (1000 // 72) + 1
    assert sum(sizes) == len(values) * 9


def test_memory_does_not_grow_as_the_square_of_the_players(monkeypatch):
    """All sets of 8 orders of 3,000 players have 72 MB of members."""
    monkeypatch.setattr(shapley, "SET_BYTES", 2**20)
    orders = antithetic_orders(3000, 4, np.random.default_rng(0))
    tracemalloc.start()
    try:
        found = marginal_contributions(lambda members: members[:, :7].sum(1) ** 2.0, orders)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * 2**20 + 10 * orders.nbytes
    np.testing.assert_array_equal(found.sum(1), 49)
