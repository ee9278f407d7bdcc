"""Memory that was freed between what stays goes back to the system."""

import psutil
import pytest
import torch

from relp_sae.models import memory
from relp_sae.models.memory import KEPT, FreedMemory, keep_freed_memory

pytestmark = pytest.mark.skipif(
    not hasattr(memory._C, "malloc_trim"), reason="only glibc keeps such gaps and gives them back"
)
MiB = 2**20


def resident():
    return psutil.Process().memory_info().rss


@pytest.mark.parametrize("allowed", [64 * MiB, 10**12])
def test_gaps_are_given_back_once_they_are_large(allowed):
    keep_freed_memory()  # from here on glibc maps no tensor of a MiB by itself
    freed = FreedMemory(allowed)
    tensors = [torch.ones(MiB // 4) for _ in range(300)]
    last = tensors[-1]
    between = tensors[::2]
    full = resident()
    del tensors
    freed.give_back()
    gained = full - resident()
    assert (gained > 150 * MiB - KEPT) == (allowed < 10**12)
    assert sum(float(one.sum()) for one in between) == len(between) * MiB // 4
    assert last[0] == 1


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(memory, "_C", None)
    freed = FreedMemory(0)
    held = torch.ones(8 * MiB)
    freed.give_back()
    assert held[-1] == 1
