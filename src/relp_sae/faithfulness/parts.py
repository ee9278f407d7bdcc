"""The parts of a run that are looked at by themselves."""

import numpy as np
from jaxtyping import Bool, Shaped

from relp_sae.records import EVERYWHERE, WHOLE_NODE, Site, Units

Part = Bool[np.ndarray, "units"]


def parts(units: Units) -> dict[str, Part]:
    """The name of each part and the units in it, everywhere first.

    Whole nodes: one part per kind of site (``resid_pre``, ``attn_out``), since a step of the
    stream and one block's output are different questions. SAE features: one per site. A part that
    would be the whole run again is not made. By layer, then by kind.
    """
    everywhere = {EVERYWHERE: np.ones(len(units), dtype=bool)}
    names, index = np.unique(_names(units), return_inverse=True)
    if len(names) < 2:
        return everywhere
    order = sorted(range(len(names)), key=lambda i: _place(str(names[i])))
    return everywhere | {str(names[i]): index == i for i in order}


def _names(units: Units) -> Shaped[np.ndarray, "units"]:
    """The part of each unit that is not everywhere."""
    if len(units) == 0 or not np.all(units.feature == WHOLE_NODE):
        return units.site
    sites, index = np.unique(units.site, return_inverse=True)
    return np.array([str(site).partition(".")[0] for site in sites])[index]


def _place(name: str) -> tuple[int, str]:
    """Where a part stands: ``resid_pre.2`` before ``resid_pre.15``, kinds by name."""
    return (Site.parse(name).layer, name) if "." in name else (0, name)
