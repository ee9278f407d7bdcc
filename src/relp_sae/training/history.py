"""What training looked like, step by step: rows, a table and a picture."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

CURVES = {
    "explained_variance": "explained variance",
    "l0": "active features per token (L0)",
    "dead": "dead features",
}


@dataclass(frozen=True)
class Row:
    """Figures of one training step, on its batch.

    ``loss`` is the sum of ``losses``, on activations scaled to a mean norm of sqrt(d_in);
    ``dead`` counts features that no token of the last 400 batches activated.
    """

    step: int
    tokens: int
    loss: float
    explained_variance: float
    l0: float
    dead: int
    losses: Mapping[str, float]


Watch = Callable[[Row], None]
"""Called with each row as training goes on."""


def table(history: Sequence[Row]) -> pd.DataFrame:
    """One line per row, each part of the loss a column."""
    return pd.DataFrame([{**asdict(row), **row.losses} for row in history]).drop(columns="losses")


def draw(history: Sequence[Row], path: Path) -> None:
    """The curves over tokens, as a PNG file."""
    rows = table(history)
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    axes = figure.subplots(2, 2, sharex=True)
    losses, *others = axes.flat
    for name in history[0].losses:
        losses.plot(rows["tokens"], rows[name].clip(lower=1e-9), label=name.replace("_", " "))
    losses.set(yscale="log", title="losses")
    losses.legend(fontsize=8)
    for axis, (name, title) in zip(others, CURVES.items(), strict=True):
        axis.plot(rows["tokens"], rows[name])
        axis.set(title=title)
    for axis in axes[1]:
        axis.set_xlabel("tokens")
    figure.savefig(path, dpi=110)
