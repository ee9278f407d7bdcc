"""A point of the residual stream or of a block's output."""

import re
from dataclasses import dataclass

from relp_sae.errors import InputError

KINDS = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out")

_OWN = re.compile(r"(?P<kind>[a-z_]+)\.(?P<layer>\d+)")
_TRANSFORMER_LENS = re.compile(r"blocks\.(?P<layer>\d+)\.(?:hook_(?P<kind>[a-z_]+))")
_HUGGING_FACE = re.compile(r"(?:model\.layers|transformer\.h)\.(?P<layer>\d+)")


@dataclass(frozen=True, order=True)
class Site:
    """Where an SAE reads and writes: ``kind`` of activation at ``layer`` (counted from 0).

    >>> Site.parse("blocks.8.hook_resid_pre")
    Site(layer=8, kind='resid_pre')
    >>> str(Site.parse("model.layers.7"))  # Hugging Face names a block: its output
    'resid_post.7'
    """

    layer: int
    kind: str

    def __str__(self) -> str:
        return f"{self.kind}.{self.layer}"

    @property
    def hook_name(self) -> str:
        """The TransformerLens name, which SAELens stores in ``cfg.json``."""
        return f"blocks.{self.layer}.hook_{self.kind}"

    @staticmethod
    def parse(name: str) -> "Site":
        """Read ``resid_pre.8``, ``blocks.8.hook_resid_pre`` or ``model.layers.7``.

        Raises:
            InputError: the name has another form or an unknown kind.
        """
        if match := _HUGGING_FACE.fullmatch(name):
            return Site(int(match["layer"]), "resid_post")
        match = _TRANSFORMER_LENS.fullmatch(name) or _OWN.fullmatch(name)
        if match is None or match["kind"] not in KINDS:
            raise InputError(
                f"Cannot read the site '{name}'. Expected KIND.LAYER such as resid_pre.8 with KIND "
                f"one of {', '.join(KINDS)}, or a hook name such as blocks.8.hook_resid_pre."
            )
        return Site(int(match["layer"]), match["kind"])
