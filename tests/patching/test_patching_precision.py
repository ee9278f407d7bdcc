"""How near the two engines are in float64 on the models as they are.

Hugging Face's RMSNorms, and the softmax of most families, pass through float32 in any type. Other
tests of the engines take that away, to see the maths alone; here it stays.
"""

import numpy as np
import pytest

from relp_sae.patching import engines, patch
from relp_sae.records import Site

DIFFERENCE = {"gpt2": 1e-14, "llama": 1e-6}
"""Largest allowed over the largest effect. GPT-2 makes no such detour."""


@pytest.mark.parametrize("truth", ["denoise", "noise"])
def test_the_engines_agree_but_for_the_models_own_detours(tiny_run, family, truth):
    sites = [Site(layer, "resid_mid") for layer in range(3)]
    run = tiny_run(family, *sites, dtype="float64", pairs=((6, (2, 4)), (4, (3,))))
    packed, reference = (patch(run, truth, engine=name).score for name in engines)
    largest = np.abs(reference).max()
    assert largest > 0.1
    np.testing.assert_allclose(packed, reference, rtol=0, atol=DIFFERENCE[family] * largest)
