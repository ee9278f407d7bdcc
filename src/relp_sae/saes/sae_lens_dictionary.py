"""Any SAELens SAE as a Dictionary."""

from dataclasses import dataclass

from sae_lens import SAE

from relp_sae.models.weights import weights_sha256
from relp_sae.records import ERROR_UNIT, Site
from relp_sae.saes.dictionary import Code
from relp_sae.tensors import Decoder, FeatureActs, Resid


@dataclass(frozen=True)
class SaeLensDictionary:
    """Wraps SAELens' encode and decode, whose normalisation state lives on the object between them.

    SAELens may normalise x by its own norm or deviation s(x) and undo it after decoding, so that
    what a feature adds to the stream depends on x. Here the features carry the factor instead
    (f * s), and ``W_dec`` is the same everywhere; what remains of the reconstruction is the offset.

    ``centred`` SAEs (gpt2-small-res-jb) were trained on TransformerLens' stream with centred
    writing weights, which is x - mean(x) over d_model; the mean stays in the error term.
    """

    sae: SAE
    site: Site
    reads: Site
    source: str
    centred: bool = False

    @property
    def model_name(self) -> str:
        return self.sae.cfg.metadata.model_name or ""

    @property
    def W_dec(self) -> Decoder:  # noqa: N802
        return self.sae.W_dec

    @property
    def remainder(self) -> int:
        return ERROR_UNIT

    @property
    def d_sae(self) -> int:
        return self.sae.cfg.d_sae

    @property
    def d_in(self) -> int:
        return self.sae.cfg.d_in

    def encode(self, x: Resid) -> Code:
        features = self.sae.encode(self.as_trained(x))
        scale = self._scale()
        # What decoding adds to no features; this also clears the state that encode left. One
        # position of zeros is enough, for s(x) and what else depends on x is in that state.
        offset = self.sae.decode(features.new_zeros(1, self.d_sae))
        if scale is not None:
            features = features * scale
        return Code(features, offset.expand_as(x))

    def decode(self, code: Code) -> Resid:
        return code.features @ self.W_dec + code.offset

    def as_trained(self, x: Resid) -> Resid:
        """x as it was in training: less its mean, if ``centred``."""
        return x - x.mean(-1, keepdim=True) if self.centred else x

    def sha256(self) -> str:
        return weights_sha256(self.sae)

    def _scale(self) -> FeatureActs | None:
        """s(x) of the last encode, by SAELens' normalisation; shape (*batch, pos, 1)."""
        state = vars(self.sae)
        match self.sae.cfg.normalize_activations:
            case "constant_norm_rescale":
                return 1 / state["x_norm_coeff"]
            case "layer_norm":
                return state["ln_std"]
            case _:
                return None
