"""The cache holds so many bytes, no more, and makes again what it dropped."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relp_sae.run.recent import Recent

SIZES = [3, 1, 4, 1, 5, 9]


@settings(deadline=None)
@given(
    asked=st.lists(st.sampled_from(range(6)), max_size=30), limit=st.sampled_from([0, 6, 12, 99])
)
def test_it_never_holds_more_than_its_bytes_or_one_value(asked, limit):
    made = []

    def make(key):
        made.append(key)
        return [key] * SIZES[key]

    recent = Recent(make, len, limit)
    alive: list[int] = []  # what should be there, the last asked for at the end
    for key in asked:
        before = len(made)
        assert recent[key] == [key] * SIZES[key]
        assert len(made) - before == (key not in alive)
        alive = [*(other for other in alive if other != key), key]
        while sum(SIZES[i] for i in alive) > limit and len(alive) > 1:
            alive.pop(0)
        assert recent.held == sum(SIZES[i] for i in alive)
        assert recent.held <= max(limit, SIZES[key])


def test_a_value_that_cannot_be_made_leaves_no_trace():
    def make(key):
        if key == 1:
            raise ValueError("no")
        return "ab"

    recent = Recent(make, len, 10)
    assert recent[0] == "ab"
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            _ = recent[1]
    assert recent.held == 2
