"""What ``relp-sae list saes`` prints: models, a model's releases, or a release's SAEs."""

from collections.abc import Iterable, Sequence

from relp_sae.catalogue import BUNDLED, PublishedSae, Release, model_key, releases
from relp_sae.errors import InputError
from relp_sae.registry import suggestion


def sae_lines(model: str, release: str) -> list[str]:
    """The lines, plain text in columns so that they can be searched and piped.

    Raises:
        InputError: an unknown model or release, or a release of another model.
    """
    if release:
        return _one_release(release, model)
    if model:
        return _one_model(model)
    return _models()


def _models() -> list[str]:
    found: dict[str, list[Release]] = {}
    for release in releases().values():
        found.setdefault(release.model, []).append(release)
    rows = [
        *((model, "1", "1", f"{name} (inside this package)") for name, model in BUNDLED.items()),
        *(
            (model, str(len(some)), str(sum(len(one.saes) for one in some)), _first_names(some))
            for model, some in sorted(found.items(), key=lambda item: model_key(item[0]))
        ),
    ]
    return [
        *_columns(("MODEL", "RELEASES", "SAES", "SUCH AS"), rows),
        "",
        "The releases of one model: relp-sae list saes --model MODEL",
    ]


def _first_names(some: Sequence[Release]) -> str:
    return ", ".join(one.name for one in some[:2]) + (", ..." if len(some) > 2 else "")


def _one_model(model: str) -> list[str]:
    key = model_key(model)
    bundled = [name for name, owner in BUNDLED.items() if model_key(owner) == key]
    found = [one for one in releases().values() if model_key(one.model) == key]
    if not bundled and not found:
        known = sorted({model_key(one.model) for one in releases().values()})
        raise InputError(
            f"No published SAE is known for the model '{model}'. {suggestion(key, known)}The "
            f"models of SAELens' registry: {', '.join(known)}. An SAE of your own is a folder: "
            "--sae FOLDER."
        )
    rows = [(name, "1", "", "", "inside this package") for name in bundled]
    rows += [
        (one.name, str(len(one.saes)), _sites(one.saes), _widths(one.saes), _remarks(one))
        for one in found
    ]
    example = found[0].name if found else ""
    return [
        *_columns(("RELEASE", "SAES", "SITES", "WIDTHS", "REMARKS"), rows),
        *(["", f"The SAEs of one: relp-sae list saes --release {example}"] if found else []),
    ]


def _one_release(name: str, model: str) -> list[str]:
    if name not in releases():
        raise InputError(
            f"SAELens' registry has no release '{name}'. {suggestion(name, releases())}See: "
            "relp-sae list saes --model MODEL."
        )
    release = releases()[name]
    if model and model_key(model) != model_key(release.model):
        raise InputError(f"The release {name} is for {release.model}, not for {model}.")
    rows = [
        (f"{name}/{one.id}", one.site or "-", one.width or "-", f"{one.l0:g}" if one.l0 else "-")
        for one in release.saes
    ]
    remarks = _remarks(release)
    return [
        f"For {release.model}{f' ({remarks})' if remarks else ''}"
        f"{'' if release.unusable else '; use with --sae'}:",
        *_columns(("RELEASE/ID", "SITE", "WIDTH", "L0"), rows),
    ]


def _sites(saes: Sequence[PublishedSae]) -> str:
    """The kinds of sites with their layers, such as ``resid_post 0-25``."""
    layers: dict[str, list[int]] = {}
    for one in saes:
        words = one.site.split(".")
        layer = next((int(word) for word in words if word.isdecimal()), None)
        kind = ".".join(word for word in words if not word.isdecimal() and word != "blocks")
        layers.setdefault(kind, []).extend([] if layer is None else [layer])
    return ", ".join(f"{kind} {_range(some)}".strip() for kind, some in layers.items())


def _range(layers: Iterable[int]) -> str:
    """Layers as ``0-3,5``."""
    parts: list[list[int]] = []
    for layer in sorted(set(layers)):
        if parts and layer == parts[-1][1] + 1:
            parts[-1][1] = layer
        else:
            parts.append([layer, layer])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


def _widths(saes: Sequence[PublishedSae]) -> str:
    return ", ".join(dict.fromkeys(one.width for one in saes if one.width))


def _remarks(release: Release) -> str:
    remarks = {
        "transcoders": release.transcoders,
        "pickles: --allow-pickle": release.pickled,
        f"not supported ({release.unusable})": bool(release.unusable),
    }
    return "; ".join(remark for remark, so in remarks.items() if so)


def _columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    table = [header, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
