"""Any SAELens transcoder as a Dictionary: it reads one site and writes at another."""

from dataclasses import dataclass

from sae_lens import SkipTranscoder

from relp_sae.saes.dictionary import Code
from relp_sae.saes.sae_lens_dictionary import SaeLensDictionary
from relp_sae.tensors import Resid


@dataclass(frozen=True)
class SaeLensTranscoder(SaeLensDictionary):
    """Features of what goes into an MLP, decoded to what comes out of it (Dunefsky et al. 2024).

    A feature's step is (f_clean - f_corrupted) * W_dec[feature] where it writes. What the features
    do not explain of the output there is the error term, so that the units of a position still sum
    to x_clean - x_corrupted. A skip connection W_skip x is linear in all of x and no feature's: it
    is part of the offset, and what it changes is part of the error unit's step.

    SAELens normalises x before it encodes, where asked to, and does not undo that: the output has a
    unit of its own, so no factor goes into the features.
    """

    def encode(self, x: Resid) -> Code:
        x = self.as_trained(x)
        features = self.sae.encode(x)
        offset = self.sae.decode(features.new_zeros(1, self.d_sae)).expand(*x.shape[:-1], -1)
        if isinstance(self.sae, SkipTranscoder):
            offset = offset + x @ self.sae.W_skip.T
        return Code(features, offset)
