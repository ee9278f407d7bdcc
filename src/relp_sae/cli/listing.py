"""``relp-sae list``: what names there are."""

from typing import Annotated

from typer import Argument, Option

from relp_sae.cli import options
from relp_sae.errors import InputError

KINDS = ("models", "methods", "truths", "tasks", "metrics", "rules", "composites", "saes")


def command(
    kind: Annotated[str, Argument(help=f"One of: {', '.join(KINDS)}.")],
    model: Annotated[
        str, Option(help="Of saes: the releases for this model, such as gemma-2-2b.")
    ] = "",
    release: Annotated[str, Option(help="Of saes: every SAE of this release.")] = "",
) -> None:
    """List what can be named: models, methods, truths, tasks, metrics, rules, composites, saes.

    Published SAEs are those of SAELens' registry, read offline. A model may have any of its names
    (gpt2 or gpt2-small, gemma-2-2b or google/gemma-2-2b).

    Examples:

        relp-sae list methods

        relp-sae list saes --model gemma-2-2b

        relp-sae list saes --release gemma-scope-2b-pt-res-canonical
    """
    options.one_of(kind, KINDS, "KIND")
    if kind != "saes" and (model or release):
        raise InputError("--model and --release are for 'list saes' only.")
    for line in _names(kind, model, release):
        print(line)


def _names(kind: str, model: str, release: str) -> list[str]:
    import importlib

    match kind:
        case "models":
            from relp_sae.models.family import families

            known = ", ".join(families)
            return [options.DEFAULT_MODEL, f"any Hub id or folder of the families: {known}"]
        case "saes":
            from relp_sae.cli.sae_listing import sae_lines

            return sae_lines(model, release)
        case _:
            rooms = {"methods": "attribution", "truths": "patching", "composites": "rules"}
            room = importlib.import_module(f"relp_sae.{rooms.get(kind, kind)}")
            return list(getattr(room, kind))
