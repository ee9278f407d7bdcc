"""``load_saes``: SAEs by site."""

from collections.abc import Iterable

from sae_lens import SAE

from relp_sae.catalogue import releases
from relp_sae.errors import InputError
from relp_sae.records import Site
from relp_sae.saes.adapter import as_dictionary
from relp_sae.saes.dictionary import Dictionary
from relp_sae.saes.sources import Reading, is_local, open_sae


def load_saes(
    source: str | Iterable[str],
    *,
    sites: Iterable[str] | None = None,
    device: str = "cpu",
    dtype: str = "float32",
    allow_pickle: bool = False,
) -> dict[Site, Dictionary]:
    """Load SAEs, by site.

    Each source is a bundled name, a SAELens folder (``cfg.json`` and ``sae_weights.safetensors``),
    ``RELEASE/ID`` of SAELens' registry, or a release alone together with ``sites``. With single
    SAEs ``sites`` has one site for each, in the same order: where the SAE does not say its site
    itself it is taken, otherwise it must be the same. ``allow_pickle`` opens weights that are
    pickles (only tensors are read from them).

    Raises:
        InputError: unknown name, unreadable file, no site given or another than the SAE's own, or
            two SAEs for one site.
    """
    sources = [source] if isinstance(source, str) else list(source)
    reading = Reading(device, dtype, allow_pickle)
    loaded: dict[Site, Dictionary] = {}
    for one, site in _at_sites(sources, None if sites is None else [*map(Site.parse, sites)]):
        sae = open_sae(one, reading)
        dictionary = _adapted(sae, one, site)
        if dictionary.site in loaded:
            raise InputError(
                f"Two SAEs are given for the site {dictionary.site}; give one: "
                f"{loaded[dictionary.site].source} or {one}."
            )
        loaded[dictionary.site] = dictionary
    return loaded


def _adapted(sae: SAE, source: str, asked: Site | None) -> Dictionary:
    try:
        return as_dictionary(sae, source, asked)
    except RuntimeError as error:  # torch's, of settings that do not go with the weights
        reason = str(error).splitlines()[0]
        raise InputError(f"{source} was read, but cannot encode: {reason}.") from error


def _at_sites(sources: list[str], sites: list[Site] | None) -> list[tuple[str, Site | None]]:
    """Single SAEs, each with the site asked for, if any."""
    if sites is None:
        return [(one, None) for one in sources]
    whole = [one for one in sources if not is_local(one) and one in releases()]
    if whole and len(whole) == len(sources):
        return [(_of_release(one, site), site) for one in sources for site in sites]
    if whole or len(sites) != len(sources):
        raise InputError(
            f"Got {len(sites)} sites for the SAEs {', '.join(sources)}. Give one site for each "
            "SAE in the same order, or whole releases only with the sites to take from them."
        )
    return [*zip(sources, sites, strict=True)]


def _of_release(name: str, site: Site) -> str:
    """``RELEASE/ID`` of the one SAE that a release has at a site."""
    saes = releases()[name].saes
    found = [one.id for one in saes if one.site == str(site)]
    if not found:
        known = ", ".join(dict.fromkeys(one.site for one in saes if one.site))
        raise InputError(
            f"Release {name} has no SAE at {site}. It has them at "
            f"{known or 'sites that only its files name'}."
        )
    if len(found) > 1:
        raise InputError(
            f"Release {name} has {len(found)} SAEs at {site}: choose one by its ID, such as "
            f"{name}/{found[0]} (see: relp-sae list saes --release {name})."
        )
    return f"{name}/{found[0]}"
