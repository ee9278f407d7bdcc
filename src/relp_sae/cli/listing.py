"""``relp-sae list``: what names there are."""

from typing import Annotated

from typer import Argument

from relp_sae.cli import options

KINDS = ("models", "methods", "truths", "tasks", "metrics", "rules", "composites", "saes")


def command(kind: Annotated[str, Argument(help=f"One of: {', '.join(KINDS)}.")]) -> None:
    """List what can be named: models, methods, truths, tasks, metrics, rules, composites, saes."""
    options.one_of(kind, KINDS, "KIND")
    for name in _names(kind):
        print(name)


def _names(kind: str) -> list[str]:
    import importlib

    match kind:
        case "models":
            from relp_sae.models.family import families

            known = ", ".join(families)
            return [options.DEFAULT_MODEL, f"any Hub id or folder of the families: {known}"]
        case "saes":
            from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

            from relp_sae.saes import BUNDLED

            releases = get_pretrained_saes_directory()
            return [
                *BUNDLED,
                *(f"{release}/{sae}" for release, one in releases.items() for sae in one.saes_map),
            ]
        case _:
            rooms = {"methods": "attribution", "truths": "patching", "composites": "rules"}
            room = importlib.import_module(f"relp_sae.{rooms.get(kind, kind)}")
            return list(getattr(room, kind))
