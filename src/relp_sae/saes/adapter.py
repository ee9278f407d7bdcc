"""What SAELens has loaded as a Dictionary, or a sentence why it cannot be one."""

import torch
from sae_lens import SAE, Transcoder
from sae_lens.saes.sae import SAEMetadata

from relp_sae.errors import InputError
from relp_sae.models import forward_order
from relp_sae.records import Site
from relp_sae.saes.sae_lens_dictionary import SaeLensDictionary
from relp_sae.saes.transcoder import SaeLensTranscoder

SCALINGS = ("none", "constant_norm_rescale", "layer_norm")
"""What SAELens may do to x at run time; the others belong to training and are folded after it."""

CENTRED = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out")
"""The kinds of sites at which centred writing weights take the mean off."""

FOLDED = {
    "mlp_in": (
        "fold_ln",
        "the norm's weight is in the MLP; the site is blocks.L.ln2.hook_normalized",
    ),
    "z": ("fold_value_biases", "the value biases are not in z"),
}
"""Kind -> the processing by TransformerLens that makes another activation of it, and which."""


def as_dictionary(sae: SAE, source: str, asked: Site | None = None) -> SaeLensDictionary:
    """Adapt a loaded SAE or transcoder, folding decoder norms where its architecture needs it.

    It reads the site of its metadata, and where they say nothing the one that is ``asked`` for.

    Raises:
        InputError: no site, another than that asked for, or one that we do not have; a transcoder
            that does not say where it writes; an architecture without a linear decoder; training
            on activations that were scaled or processed.
    """
    metadata = sae.cfg.metadata
    reads = _read_site(metadata, source, asked)
    site = _written_site(sae, reads, source)
    _require_unprocessed(sae, reads, source)
    if getattr(sae.cfg, "rescale_acts_by_decoder_norm", False):
        sae.fold_W_dec_norm()
        sae.cfg.rescale_acts_by_decoder_norm = False
    sae.turn_off_forward_pass_hook_z_reshaping()  # our z is flat already
    sae.requires_grad_(False)
    centred = _loaded_with(metadata, "center_writing_weights") and reads.kind in CENTRED
    kind = SaeLensTranscoder if isinstance(sae, Transcoder) else SaeLensDictionary
    dictionary = kind(sae, site, reads, source, centred)
    _require_linear_decoder(dictionary)
    return dictionary


def _read_site(metadata: SAEMetadata, source: str, asked: Site | None) -> Site:
    if not metadata.hook_name or not isinstance(metadata.hook_name, str):
        if asked is None:
            raise InputError(
                f"{source} does not say its site: cfg.json has no metadata.hook_name. Say it with "
                "--site KIND.LAYER (load_saes(..., sites=[...])), such as --site resid_pre.8."
            )
        return asked
    own = _site(metadata, "hook_name", source)
    if asked not in (None, own):
        raise InputError(
            f"{source} is an SAE for the site {own} (as its metadata say), not for {asked}. Give "
            f"an SAE that was trained at {asked}, or leave the site away."
        )
    return own


def _site(metadata: SAEMetadata, key: str, source: str) -> Site:
    name = metadata[key]
    exact = metadata[f"hf_{key}"]
    try:
        # Gemma Scope 2's hook_mlp_in is not TransformerLens'; the name beside it is right.
        return Site.parse(exact if exact and name.endswith(".hook_mlp_in") else name)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error


def _written_site(sae: SAE, reads: Site, source: str) -> Site:
    if isinstance(sae, Transcoder):
        if not sae.cfg.metadata.hook_name_out:
            raise InputError(
                f"{source} maps {reads} ({sae.cfg.d_in} dimensions) to another site "
                f"({sae.cfg.d_out}): a transcoder, not an SAE. It does not say where it writes: "
                "cfg.json has no metadata.hook_name_out."
            )
        site = _site(sae.cfg.metadata, "hook_name_out", source)
        if forward_order(site) < forward_order(reads):
            raise InputError(
                f"{source} is a transcoder that reads {reads} and writes at {site}, which comes "
                "before it in the forward pass."
            )
        return site
    if sae.cfg.metadata.hook_name_out and _site(sae.cfg.metadata, "hook_name_out", source) != reads:
        raise InputError(
            f"{source} reads {reads} and writes at {sae.cfg.metadata.hook_name_out}, but its "
            f"architecture '{sae.cfg.architecture()}' is an SAE's: only a transcoder can do that."
        )
    return reads


def _require_unprocessed(sae: SAE, reads: Site, source: str) -> None:
    if sae.cfg.normalize_activations not in SCALINGS:
        raise InputError(
            f"{source}: its activations were scaled in training "
            f"({sae.cfg.normalize_activations}) by a factor that the file does not hold. Fold the "
            "factor into the weights (SAELens does so at the end of training)."
        )
    option, where = FOLDED.get(reads.kind, ("", ""))
    if option and _loaded_with(sae.cfg.metadata, option):
        raise InputError(
            f"{source} was trained on a model loaded with {option}=True, in which {reads} is "
            f"another activation: {where}. Correct metadata.hook_name in cfg.json."
        )


def _loaded_with(metadata: SAEMetadata, option: str) -> bool:
    """Whether TransformerLens was asked for a processing of the model's weights in training."""
    return bool((metadata.model_from_pretrained_kwargs or {}).get(option, False))


@torch.no_grad()
def _require_linear_decoder(dictionary: SaeLensDictionary) -> None:
    """Features must add their rows of W_dec to what no features decode to, and nothing else."""
    sae = dictionary.sae
    x = torch.randn(1, 3, sae.cfg.d_in, generator=torch.Generator().manual_seed(0))
    x = x.to(dtype=sae.dtype, device=sae.device)
    code, whole = dictionary.encode(x), sae(dictionary.as_trained(x))
    off = (dictionary.decode(code) - whole).abs().max()
    tolerance = max(1e-2, 4 * torch.finfo(sae.dtype).eps)
    if off > tolerance * torch.maximum(x.abs().max(), whole.abs().max()):
        raise InputError(
            f"{dictionary.source}: architecture '{sae.cfg.architecture()}' has no linear decoder; "
            "one feature's effect is not a row of W_dec."
        )
