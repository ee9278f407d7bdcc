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
        str,
        Option(
            help="Of saes: the releases for this model, such as gemma-2-2b. Of tasks: whose "
            "tokenizer writes the example pairs (no weights are read; by default "
            f"{options.DEFAULT_MODEL}'s, if it has been fetched)."
        ),
    ] = "",
    release: Annotated[str, Option(help="Of saes: every SAE of this release.")] = "",
) -> None:
    """List what can be named: models, methods, truths, tasks, metrics, rules, composites, saes.

    Published SAEs are those of SAELens' registry, read offline. A model may have any of its names
    (gpt2 or gpt2-small, gemma-2-2b or google/gemma-2-2b).

    Examples:

        relp-sae list methods

        relp-sae list tasks --model gpt2

        relp-sae list saes --model gemma-2-2b

        relp-sae list saes --release gemma-scope-2b-pt-res-canonical
    """
    options.one_of(kind, KINDS, "KIND")
    if model and kind not in ("saes", "tasks"):
        raise InputError(f"--model goes with 'list saes' and 'list tasks', not 'list {kind}'.")
    if release and kind != "saes":
        raise InputError(f"--release goes with 'list saes', not with 'list {kind}'.")
    for line in _lines(kind, model, release):
        print(line)


def _lines(kind: str, model: str, release: str) -> Iterable[str]:
    import importlib

    match kind:
        case "models":
            from relp_sae.models.family import families

            known = ", ".join(families)
            return [options.DEFAULT_MODEL, f"any Hub id or folder of the families: {known}"]
        case "saes":
            from relp_sae.cli.sae_listing import sae_lines

            return sae_lines(model, release)
        case "tasks":
            return _tasks(model)
        case _:
            rooms = {"methods": "attribution", "truths": "patching", "composites": "rules"}
            room = importlib.import_module(f"relp_sae.{rooms.get(kind, kind)}")
            return list(getattr(room, kind))


def _tasks(model: str) -> Iterator[str]:
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


def _tokenizer(model: str) -> "PreTrainedTokenizerBase | None":
    """That of the model named, or of the embedded one where nothing has to be fetched for it."""
    from relp_sae.models import load_tokenizer
    from relp_sae.models.embedded import embedded_is_cached

    if not model and not embedded_is_cached():
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
