"""Memory that was freed between what stays goes back to the system, once it may be much."""

from types import SimpleNamespace

import pytest
import torch

from relp_sae.models import memory
from relp_sae.models.memory import KEPT, FreedMemory


@pytest.fixture
def process(monkeypatch):
    """A process whose memory the test sets; ``kept`` lists what giving back was asked to keep."""
    process = SimpleNamespace(resident=100, held=100, kept=[])

    def malloc_trim(kept):
        process.kept.append(kept.value)
        process.resident = process.held

    monkeypatch.setattr(memory, "_resident", lambda: process.resident)
    monkeypatch.setattr(memory, "_C", SimpleNamespace(malloc_trim=malloc_trim))
    return process


def test_it_is_given_back_when_the_process_has_grown(process):
    freed = FreedMemory(50)
    process.resident = 150
    freed.give_back()
    assert not process.kept
    process.resident, process.held = 151, 120
    freed.give_back()
    assert process.kept == [KEPT]
    process.resident = 170  # 50 more than is held now
    freed.give_back()
    assert process.kept == [KEPT]
    process.resident = 90  # the rest was freed
    freed.give_back()
    process.resident = 141
    freed.give_back()
    assert process.kept == [KEPT, KEPT]


def test_another_c_library_is_left_alone(process, monkeypatch):
    monkeypatch.setattr(memory, "_C", None)
    freed = FreedMemory(0)
    process.resident = 1000
    freed.give_back()


@pytest.mark.skipif(not hasattr(memory._C, "malloc_trim"), reason="glibc's")
def test_what_is_held_stays_what_it_is():
    before = memory._resident()
    freed = FreedMemory(-before)
    held = [torch.full((2**18,), float(i)) for i in range(20)]
    del held[::2]
    freed.give_back()
    assert [float(one[-1]) for one in held] == list(range(1, 20, 2))
