"""Types and shapes of the package's functions are checked in every test, whatever is cached."""

import pytest
import torch
from jaxtyping import TypeCheckError

from relp_sae.attribution.slopes import along
from relp_sae.models.memory import FreedMemory


def test_a_wrong_shape_or_type_is_refused_each_time():
    change = torch.zeros(2, 3, 4)
    for _ in range(2):
        assert along(torch.zeros(5), change).shape == (10, 3, 4)
        with pytest.raises(TypeCheckError, match="along"):
            along(torch.zeros(5, 1), change)
        with pytest.raises(TypeCheckError):
            FreedMemory("much")
