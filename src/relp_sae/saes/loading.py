"""``load_saes``: from disk, from the package, or from SAELens' registry."""

import json
import warnings
from collections.abc import Callable, Iterable
from importlib.resources import files
from pathlib import Path

from sae_lens import SAE
from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory
from safetensors import SafetensorError

from relp_sae.errors import InputError
from relp_sae.models import LanguageModel
from relp_sae.records import Site
from relp_sae.registry import suggestion
from relp_sae.saes.adapter import as_dictionary
from relp_sae.saes.dictionary import Dictionary

BUNDLED = {"smollm2-135m-topk": "smollm2-135m-topk"}
"""SAEs inside this package: name -> folder in ``relp_sae/saes/bundled``."""


def load_saes(
    source: str | Iterable[str],
    *,
    sites: Iterable[str] | None = None,
    device: str = "cpu",
    dtype: str = "float32",
) -> dict[Site, Dictionary]:
    """Load SAEs, by site.

    Each source is a bundled name, a SAELens folder (``cfg.json`` and ``sae_weights.safetensors``),
    ``RELEASE/ID`` of SAELens' registry, or a release alone together with ``sites``.

    Raises:
        InputError: unknown name, unreadable file, no site given, or two SAEs for one site.
    """
    sources = [source] if isinstance(source, str) else list(source)
    if sites is not None:
        wanted = [Site.parse(site) for site in sites]
        for one in sources:
            if one in BUNDLED or Path(one).is_dir():
                raise InputError(f"{one} is one SAE with its own site; leave sites away.")
        sources = [f"{release}/{site.hook_name}" for release in sources for site in wanted]
    loaded: dict[Site, Dictionary] = {}
    for one in sources:
        dictionary = _load(one, device, dtype)
        if dictionary.site in loaded:
            raise InputError(f"Two SAEs are given for the site {dictionary.site}; give one.")
        loaded[dictionary.site] = dictionary
    return loaded


def require_fit(dictionary: Dictionary, model: LanguageModel) -> None:
    """Check that a dictionary can be used with a model.

    Raises:
        InputError: a site that the model has not, another width than the model has at the sites
            where the dictionary reads and writes, or another device or dtype.
    """
    weights = dictionary.W_dec
    widths = {"d_in": (dictionary.reads, dictionary.d_in)}
    if dictionary.reads != dictionary.site:
        widths["d_out"] = (dictionary.site, weights.shape[1])
    for name, (site, found) in widths.items():
        model.require_site(site)
        if found != model.width(site):
            owner = dictionary.model_name or "unnamed"
            raise InputError(
                f"{dictionary.source} has {name} = {found}, but {model.name} is "
                f"{model.width(site)} wide at {site}: this SAE is for another model ({owner})."
            )
    if (weights.dtype, weights.device) != (model.dtype, model.device):
        raise InputError(
            f"{dictionary.source} is {weights.dtype} on {weights.device}, {model.name} is "
            f"{model.dtype} on {model.device}. Load both with the same device and dtype."
        )


def _load(source: str, device: str, dtype: str) -> Dictionary:
    sae = _opened(source, _opener(source, device, dtype))
    return as_dictionary(sae, source)


def _opener(source: str, device: str, dtype: str) -> Callable[[], SAE]:
    """The way to open a source, chosen by what the source is."""
    folder = Path(str(files("relp_sae.saes") / "bundled" / BUNDLED.get(source, source)))
    path = folder if source in BUNDLED else Path(source)
    if source and path.is_dir():
        for name in ("cfg.json", "sae_weights.safetensors"):
            if not (path / name).is_file():
                raise InputError(f"{source} is not a SAELens SAE: the folder has no {name}.")
        return lambda: SAE.load_from_disk(path, device=device, dtype=dtype)
    release, _, sae_id = source.partition("/")
    directory = get_pretrained_saes_directory()
    if release not in directory:
        known = [*BUNDLED, *directory]
        raise InputError(
            f"Unknown SAE '{source}'. {suggestion(release, known)}Give a bundled name "
            f"({', '.join(BUNDLED)}), a SAELens folder, or RELEASE/ID of SAELens' registry "
            "(see: relp-sae list saes)."
        )
    if sae_id not in directory[release].saes_map:
        known = list(directory[release].saes_map)
        raise InputError(
            f"Release {release} has no SAE '{sae_id}'. {suggestion(sae_id, known)}"
            f"It has {len(known)}, such as {', '.join(known[:3])}."
        )
    return lambda: SAE.from_pretrained(release, sae_id, device=device, dtype=dtype)


def _opened(source: str, opener: Callable[[], SAE]) -> SAE:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # advice for TransformerLens users
            return opener()
    except (OSError, SafetensorError, json.JSONDecodeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"Cannot read the SAE {source}: {reason}") from error
    except Exception as error:  # SAELens takes a file's content on trust
        raise InputError(
            f"Cannot read the SAE {source}: its cfg.json or weights are not what SAELens "
            f"expects ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''})."
        ) from error
