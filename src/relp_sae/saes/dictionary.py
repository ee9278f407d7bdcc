"""What the rest of the package needs of a sparse autoencoder or a transcoder."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from relp_sae.records import Site
from relp_sae.tensors import Decoder, FeatureActs, Resid

FEATURE_BYTES = 2**25
"""How large one dense tensor of features (pos, d_sae) may be: 32 MiB. Encoding makes several."""


@dataclass(frozen=True)
class Code:
    """An activation written in features: reconstruction = features @ W_dec + offset.

    ``features`` are scaled so that ``W_dec`` carries the unit of the site; ``offset`` is what the
    decoder adds whatever the features are (its bias, a mean that it restores, and what a
    transcoder's skip connection makes of what it reads).
    """

    features: FeatureActs
    offset: Float[Tensor, "*batch pos d_model"]


@runtime_checkable
class Dictionary(Protocol):
    """A sparse autoencoder, or a transcoder. Stateless: encode and decode any number of times."""

    @property
    def site(self) -> Site:
        """Where it writes: where its units are, and where they are changed."""
        ...

    @property
    def reads(self) -> Site:
        """Where it reads: its own site, but for a transcoder an earlier one."""
        ...

    @property
    def d_in(self) -> int:
        """The width of what it reads."""
        ...

    @property
    def source(self) -> str:
        """Where it was loaded from."""
        ...

    @property
    def model_name(self) -> str:
        """The model it was trained on, as its metadata says; empty if they do not."""
        ...

    @property
    def W_dec(self) -> Decoder:  # noqa: N802
        """Decoder rows, in the unit of the site where it writes."""
        ...

    @property
    def d_sae(self) -> int:
        """How many features."""
        ...

    @property
    def remainder(self) -> int:
        """The index under which what no feature explains is a unit: ERROR_UNIT or WHOLE_NODE."""
        ...

    def encode(self, x: Resid) -> Code:
        """Features of activations x where it reads.

        What the reconstruction lacks of the activation where it writes is the error term.
        """
        ...

    def decode(self, code: Code) -> Resid:
        """The reconstruction of a code."""
        ...

    def sha256(self) -> str:
        """A hash over the weights."""
        ...


def positions_at_once(dictionary: Dictionary) -> int:
    """How many positions have their features within ``FEATURE_BYTES``; at least one."""
    W_dec = dictionary.W_dec
    return max(1, FEATURE_BYTES // max(1, len(W_dec) * W_dec.element_size()))


def reconstruction(
    dictionary: Dictionary, x: Float[Tensor, "*batch pos d_in"]
) -> Float[Tensor, "*batch pos d_out"]:
    """decode(encode(x)), the features of only so many positions at a time being in memory."""
    rows = x.reshape(-1, x.shape[-1]).split(positions_at_once(dictionary))
    made = torch.cat([dictionary.decode(dictionary.encode(part)) for part in rows])
    return made.view(*x.shape[:-1], -1)
