"""A point of the residual stream, or of the way that a block takes beside it."""

import re
from dataclasses import dataclass

from relp_sae.errors import InputError

HOOKS = {
    "resid_pre": "hook_resid_pre",
    "z": "attn.hook_z",
    "attn_out": "hook_attn_out",
    "resid_mid": "hook_resid_mid",
    "mlp_normalized": "ln2.hook_normalized",
    "mlp_in": "mlp.hook_in",
    "mlp_out": "hook_mlp_out",
    "resid_post": "hook_resid_post",
}
"""Kind -> what TransformerLens calls it inside a block, as the forward pass meets them."""

KINDS = tuple(HOOKS)

_PARTS = {
    "": "resid_post",  # a block is its output
    ".output": "resid_post",
    ".input": "resid_pre",
    ".self_attn.o_proj.input": "z",
    ".attn.c_proj.input": "z",
    ".attn.attention.out_proj.input": "z",
    ".attention.dense.input": "z",
    ".pre_feedforward_layernorm.output": "mlp_in",
    ".mlp.input": "mlp_in",
    ".post_feedforward_layernorm.output": "mlp_out",
}
"""Hugging Face's names inside a block that are one kind in every family that has them.

The outputs of attention and MLP are not: some families put a norm behind them.
"""

_BLOCKS = r"(?:model\.layers|model\.language_model\.layers|transformer\.h|gpt_neox\.layers)"

_FORMS = (
    (re.compile(r"(?P<point>[a-z_]+)\.(?P<layer>\d+)"), {kind: kind for kind in KINDS}),
    (
        re.compile(r"blocks\.(?P<layer>\d+)\.(?P<point>.+)"),
        {hook: kind for kind, hook in HOOKS.items()},
    ),
    (re.compile(_BLOCKS + r"\.(?P<layer>\d+)(?P<point>(?:\..+)?)"), _PARTS),
)


@dataclass(frozen=True, order=True)
class Site:
    """Where an SAE reads or writes: ``kind`` of activation at ``layer`` (counted from 0).

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
        return f"blocks.{self.layer}.{HOOKS[self.kind]}"

    @staticmethod
    def parse(name: str) -> "Site":
        """Read ``resid_pre.8``, ``blocks.8.hook_resid_pre`` or ``model.layers.7``.

        Raises:
            InputError: the name has another form or an unknown kind, or can mean two sites.
        """
        for form, kinds in _FORMS:
            match = form.fullmatch(name)
            if match and match["point"] in kinds:
                return Site(int(match["layer"]), kinds[match["point"]])
        if name.endswith(".hook_mlp_in"):
            raise InputError(
                f"'{name}' can mean two sites: in TransformerLens the stream in front of the MLP's "
                "norm, in some SAEs' metadata the MLP's input behind it. Write "
                f"{name.replace('hook_mlp_in', 'hook_resid_mid')} for the first and "
                f"{name.replace('hook_mlp_in', 'mlp.hook_in')} for the second."
            )
        raise InputError(
            f"Cannot read the site '{name}'. Expected KIND.LAYER such as resid_pre.8 with KIND "
            f"one of {', '.join(KINDS)}, or a hook name such as blocks.8.hook_resid_pre."
        )
