"""``relp-sae list``: what names there are."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from relp_sae.cli import options
from relp_sae.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from relp_sae.tasks import Task

KINDS = ("models", "methods", "truths", "tasks", "metrics", "rules", "composites", "saes")


def command(
    kind: Annotated[str, Argument(help=f"One of: {', '.join(KINDS)}.")],
    model: Annotated[
        str | None,
        Option(
            help="With tasks: whose tokenizer writes the example pairs; no weights are read. "
            f"Default: {options.DEFAULT_MODEL}, if it has been fetched."
        ),
    ] = None,
) -> None:
    """List what can be named: models, methods, truths, tasks, metrics, rules, composites, saes.

    Examples:

        relp-sae list methods

        relp-sae list tasks --model gpt2
    """
    options.one_of(kind, KINDS, "KIND")
    if model is not None and kind != "tasks":
        raise InputError(f"--model goes with 'list tasks', not with 'list {kind}'.")
    for line in _tasks(model) if kind == "tasks" else _names(kind):
        print(line)


def _names(kind: str) -> Iterable[str]:
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


def _tasks(model: str | None) -> Iterator[str]:
    """Each task: its name, what it asks, and a pair as the tokenizer at hand makes it."""
    from relp_sae.tasks import tasks

    tokenizer = _tokenizer(model)
    for name, task in tasks.items():
        yield name
        yield f"    {(task.__doc__ or '').splitlines()[0]}"
        if tokenizer is not None:
            yield from _example(task, tokenizer)
    if tokenizer is None:
        yield "'relp-sae list tasks --model MODEL' shows a pair of each."


def _tokenizer(model: str | None) -> "PreTrainedTokenizerBase | None":
    """That of the model named, or of the embedded one where nothing has to be fetched for it."""
    from relp_sae.models import load_tokenizer
    from relp_sae.models.embedded import embedded_is_cached

    if model is None and not embedded_is_cached():
        return None
    return load_tokenizer(model or options.DEFAULT_MODEL)


def _example(task: "Task", tokenizer: "PreTrainedTokenizerBase") -> Iterator[str]:
    try:
        (pair,) = task(tokenizer, n=1, seed=0)
    except InputError as error:
        yield f"    not here: {error}"
        return
    answer, foil = (str(tokenizer.decode([token])) for token in (pair.answer, pair.foil))
    yield f"    clean      {pair.clean!r}"
    yield f"    corrupted  {pair.corrupted!r}"
    yield f"    answer {answer!r}, foil {foil!r}"
