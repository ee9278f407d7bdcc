"""The application: its commands, and what becomes of errors."""

import sys

import typer
from rich.console import Console
from rich.markup import escape

from relp_sae.cli import check, compare, features, listing, run, train_sae
from relp_sae.errors import InputError, RunError

app = typer.Typer(
    name="relp-sae",
    help="How faithful are cheap attribution scores of SAE features to exact intervention?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

for _name, _command in {
    "run": run.run,
    "attribute": run.attribute,
    "patch": run.patch,
    "nodes": run.nodes,
    "regimes": run.regimes,
    "compare": compare.compare,
    "report": compare.report,
    "features": features.command,
    "check": check.command,
    "list": listing.command,
    "train-sae": train_sae.command,
}.items():
    app.command(_name)(_command)


def main() -> None:
    """Entry point. Bad input ends in one sentence and exit code 2, a failed check in code 1."""
    errors = Console(stderr=True, soft_wrap=True, highlight=False)
    try:
        app()
    except InputError as error:
        errors.print(f"[bold red]Error:[/] {escape(str(error))}")
        sys.exit(2)
    except RunError as error:
        errors.print(f"[bold red]Check failed:[/] {escape(str(error))}")
        sys.exit(1)
