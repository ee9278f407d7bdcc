"""Batches are of pairs of one length, near each other, and every pair is in one."""

from hypothesis import given, settings
from hypothesis import strategies as st

from relp_sae.records import PromptPair
from relp_sae.run.batches import BATCH_PAIRS, BATCH_TOKENS, batches


def pair(length):
    return PromptPair("a", "b", (0,) * length, (*(0,) * (length - 1), 1), 2, 3)


@settings(deadline=None)
@given(
    lengths=st.lists(st.sampled_from([3, 4, 17, 100, 512, 700]), max_size=60),
    window=st.sampled_from([0, 64, 1024, 100_000]),
)
def test_what_holds_of_every_batch(lengths, window):
    found = batches([pair(length) for length in lengths], window)
    assert sorted(index for batch in found for index in batch) == list(range(len(lengths)))
    for batch in found:
        assert batch == sorted(batch)
        assert len({lengths[index] for index in batch}) == 1
        assert len(batch) <= BATCH_PAIRS
        assert len(batch) == 1 or 2 * sum(lengths[i] for i in batch) <= BATCH_TOKENS
        assert len(batch) == 1 or 2 * sum(lengths[batch[0] : batch[-1] + 1]) <= window


def test_short_pairs_are_run_together():
    found = batches([pair(3 + index % 2) for index in range(20)], 10_000)
    assert found == [[0, 2, 4, 6, 8, 10, 12, 14], [16, 18], [1, 3, 5, 7, 9, 11, 13, 15], [17, 19]]
    assert batches([pair(3)] * 4, 12) == [[0, 1], [2, 3]]
