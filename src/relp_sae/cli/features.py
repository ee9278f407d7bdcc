"""``relp-sae features``: what the strongest features of a finished run mean."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from relp_sae.cli import options


def command(
    folder: Annotated[Path, Argument(help="A finished run folder.")],
    data: Annotated[str, Option(help=options.TEXT)],
    top: Annotated[int, Option(min=1, help="Features of each method and each truth.")] = 10,
    contexts: Annotated[int, Option(min=1, help="Contexts of each feature.")] = 5,
    tokens: Annotated[int, Option(min=1, help="The most tokens of the text to read.")] = 200_000,
    methods: Annotated[
        str,
        Option(
            help="Methods whose top features are shown, such as relp or relp@clean, with commas. "
            "Default: all of the run but the baselines. The truths' are always shown."
        ),
    ] = "",
) -> None:
    """What do the top features of a run mean? What they fire on in a text, what they promote.

    Writes features.json into the run folder, and the report again with a card for each feature:
    its strongest contexts, the tokens whose logits it moves directly, and its scores.

    Example:

        relp-sae features runs/ioi --data text.jsonl.gz --methods relp,secant
    """
    from relp_sae.cli.terminal import print_features, progress
    from relp_sae.experiment import describe_features
    from relp_sae.features import CardSettings
    from relp_sae.records import RunFolder
    from relp_sae.report import write_report

    opened = RunFolder.open(folder)
    settings = CardSettings(top, contexts, tokens, options.split(methods))
    with progress() as track:
        describe_features(opened, data, settings, track)
    if opened.is_compared:
        write_report(opened)
    print_features(opened)
