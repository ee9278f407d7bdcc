"""The activation stream: the model's activations, shuffled, the same again from any block."""

from itertools import islice

import torch

from relp_sae.models import read_sites
from relp_sae.records import Site
from relp_sae.training.stream import activations_at, ordinary

SITE = Site.parse("resid_pre.2")


def test_activations_are_the_models_and_skip_the_separator(gpt2_model, contexts):
    ids = torch.cat(contexts[:4])
    whole = read_sites(gpt2_model, [SITE], ids)[0][SITE]
    keep = (ids != 0) & (whole.norm(dim=-1) < 10 * whole.norm(dim=-1).median())
    found = activations_at(gpt2_model, SITE, ids, torch.float32)
    torch.testing.assert_close(found, whole[keep])
    assert not ordinary(whole, ids, gpt2_model)[:, 0].any()


def test_outliers_are_left_out(gpt2_model):
    x = torch.ones(1, 6, 4)
    x[0, 3] *= 11
    ids = torch.tensor([[0, 5, 6, 7, 0, 8]])
    assert ordinary(x, ids, gpt2_model).tolist() == [[False, True, True, False, False, True]]


def test_blocks_hold_consecutive_contexts_and_nothing_is_lost(gpt2_model, contexts, stream):
    plain = activations_at(gpt2_model, SITE, torch.cat(contexts[:24]), torch.float32)
    rows = torch.cat([block.rows for block in islice(stream().blocks(), 3)])
    torch.testing.assert_close(rows, plain)


def test_batches_are_the_block_in_another_order(stream):
    block = next(stream().blocks())
    batches = torch.cat(list(block.batches(1)))
    assert not torch.equal(batches, block.rows)
    assert torch.equal(batches.sort(0).values, block.rows.sort(0).values)
    assert sum(len(batch) for batch in block.batches(16)) == len(block.rows) // 16 * 16


def test_a_block_is_the_same_whatever_came_before_it(stream):
    walked = list(islice(stream().blocks(), 3))[2]
    reached = next(stream().blocks(2))
    assert torch.equal(reached.rows, walked.rows)
    for one, other in zip(reached.batches(16), walked.batches(16), strict=True):
        assert torch.equal(one, other)


def test_blocks_and_seeds_have_orders_of_their_own(stream):
    first, second = islice(stream().blocks(), 2)
    other = next(stream(seed=1).blocks())
    assert len({first.seed, second.seed, other.seed}) == 3
    assert not torch.equal(next(first.batches(16)), next(other.batches(16)))


def test_the_stream_ends_with_the_text(stream):
    assert sum(1 for _ in stream(block=50).blocks()) < 20


def test_memory_holds_one_block_whatever_the_text(gpt2_model, stream, text):
    """The stream reads no further than the block that is asked for."""
    from relp_sae.training.text import documents

    read = 0

    def endless():
        nonlocal read
        while True:
            for one in documents(text, gpt2_model, 0):
                read += 1
                yield one

    next(stream(documents=endless).blocks())
    assert 0 < read < 20
