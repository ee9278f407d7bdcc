"""``relp-sae train-sae``."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from typer import Option

from relp_sae.cli import options

if TYPE_CHECKING:
    from relp_sae.training.history import Row


def command(
    out: Annotated[
        Path,
        Option(
            help="Folder to make: a SAELens SAE with a model card. OUT.training holds a checkpoint "
            "until then; the same command goes on from it."
        ),
    ],
    data: Annotated[str, Option(help=options.TEXT)],
    held_out: Annotated[
        str,
        Option(
            help="Text that the quality is measured on: a source like --data, or the same one. "
            "Its documents are left out of the training text."
        ),
    ],
    model: options.Model = options.DEFAULT_MODEL,
    site: Annotated[str, Option(help="Where the SAE reads.")] = "resid_pre.15",
    arch: Annotated[
        str,
        Option(help="standard, topk, batchtopk, matryoshka, jumprelu or gated."),
    ] = "topk",
    width: Annotated[
        str, Option(help="Features: a number, or a multiple of the site's dimensions.")
    ] = "8x",
    k: Annotated[
        int | None,
        Option(
            min=1,
            help="Active features per token (topk; batchtopk, matryoshka and jumprelu on average). "
            "Default: 64.",
        ),
    ] = None,
    l1: Annotated[
        float | None,
        Option(
            min=0.0,
            help="Coefficient of the L1 penalty (standard, gated): more is sparser. Default: 1.",
        ),
    ] = None,
    tokens: Annotated[int, Option(min=1, help="Tokens to train on.")] = 2_000_000,
    held_out_tokens: Annotated[int, Option(min=1, help="Tokens to measure on.")] = 25_000,
    context: Annotated[int, Option(min=8, help="Tokens per context.")] = 128,
    batch_size: Annotated[int, Option(min=1, help="Activations per training step.")] = 1024,
    buffer: Annotated[int, Option(min=1, help="Activations that are shuffled together.")] = 131_072,
    lr: Annotated[float, Option(min=0.0, help="Learning rate of Adam, at its highest.")] = 1e-3,
    seed: Annotated[int, Option(min=0, help="Seed of weights and order.")] = 0,
    autocast: Annotated[
        str,
        Option(
            help="Type of matrix products: float32, or bfloat16, which is faster on processors "
            "that have it (docs/training.md)."
        ),
    ] = "float32",
    checkpoint_every: Annotated[int, Option(min=1, help="Steps between checkpoints.")] = 200,
    device: options.Device = "cpu",
    allow_pickle: options.AllowPickle = False,
    trust_remote_code: options.TrustRemoteCode = False,
) -> None:
    """Train an SAE on activations of a model, and measure it on held-out text.

    Stop it at any time: the same command goes on from the last checkpoint, and ends with the same
    weights as if it had not been stopped.

    Example:

        relp-sae train-sae --site resid_pre.15 --tokens 200000 --autocast bfloat16 \\
            --data train.jsonl.gz --held-out heldout.jsonl.gz --out my-sae
    """
    from relp_sae.cli.terminal import console
    from relp_sae.models import load_model
    from relp_sae.training import TrainingConfig
    from relp_sae.training import train_sae as train

    config = TrainingConfig(
        model=model,
        site=site,
        data=data,
        held_out=held_out,
        arch=arch,
        width=width,
        k=k,
        l1=l1,
        tokens=tokens,
        held_out_tokens=held_out_tokens,
        context=context,
        batch=batch_size,
        buffer=buffer,
        lr=lr,
        seed=seed,
        autocast=autocast,
    )
    loaded = load_model(
        model, device=device, allow_pickle=allow_pickle, trust_remote_code=trust_remote_code
    )
    with _shown(tokens) as watch:
        train(loaded, config, out, checkpoint_every=checkpoint_every, watch=watch)
    print((out / "README.md").read_text(encoding="utf-8"))
    console.print(
        f"SAE: {escape(str(out))} (relp-sae run --sae {escape(str(out))})", soft_wrap=True
    )


@contextmanager
def _shown(tokens: int) -> Iterator[Callable[["Row"], None]]:
    """A bar with the figures of the last row, and a line now and then, on standard error."""
    columns = (
        TextColumn("training"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}/{task.total:,} tokens  {task.fields[figures]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task("", total=tokens, figures="")
        said = 0.0

        def watch(row: "Row") -> None:
            nonlocal said
            figures = (
                f"explained variance {row.explained_variance:.3f}, L0 {row.l0:.0f}, "
                f"dead {row.dead:,}"
            )
            bars.update(task, completed=row.tokens, figures=figures)
            if row.tokens >= said:
                bars.console.print(
                    f"{row.tokens:>12,} tokens: loss {row.loss:.4g}, {figures}", highlight=False
                )
                said = max(2 * row.tokens, said)
                said = min(said, row.tokens + tokens / 10)

        yield watch
