"""``relp-sae run``, ``attribute`` and ``patch``: one experiment, whole or by halves."""

from pathlib import Path
from typing import TYPE_CHECKING

from relp_sae.cli import options

if TYPE_CHECKING:
    from relp_sae.records import RunFolder


def run(
    model: options.Model = options.DEFAULT_MODEL,
    sae: options.Saes = None,
    task: options.Task = "ioi",
    n: options.N = None,
    metric: options.Metric = "logit_diff",
    methods: options.Methods = options.DEFAULT_METHODS,
    truths: options.Truths = options.DEFAULT_TRUTHS,
    base: options.BaseOption = "both",
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    dtype: options.Dtype = "float32",
    batch_size: options.BatchSize = 128,
    bootstrap: options.Bootstrap = 2000,
    skip_bad: options.SkipBad = False,
    out: options.Out = None,
) -> None:
    """Score every feature, patch every feature, and say how faithful each method is.

    The run folder holds the report (report.md, report.html, figures/), the scores
    (scores.parquet) and everything needed to check them (manifest.json, pairs.parquet,
    agreement.json).

    Examples:

        relp-sae run

        relp-sae run --n 100 --task ioi-abc --methods gradient,relp --out runs/abc

        relp-sae run --model gpt2 --sae gpt2-small-res-jb/blocks.8.hook_resid_pre
    """
    from relp_sae.cli.terminal import print_agreement

    folder = _execute(
        model=model, sae=sae, task=task, n=n, metric=metric, methods=methods, truths=truths,
        base=base, seed=seed, device=device, dtype=dtype, batch_size=batch_size,
        bootstrap=bootstrap, skip_bad=skip_bad, out=out,
    )  # fmt: skip
    print_agreement(folder)


def attribute(
    model: options.Model = options.DEFAULT_MODEL,
    sae: options.Saes = None,
    task: options.Task = "ioi",
    n: options.N = None,
    metric: options.Metric = "logit_diff",
    methods: options.Methods = options.DEFAULT_METHODS,
    base: options.BaseOption = "both",
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    dtype: options.Dtype = "float32",
    skip_bad: options.SkipBad = False,
    out: options.Out = None,
) -> None:
    """Score every feature by the estimates only (seconds); `compare` needs a `patch` beside it.

    Example:

        relp-sae attribute --methods gradient,relp --out runs/estimates
    """
    from relp_sae.cli.terminal import print_scores

    folder = _execute(
        model=model, sae=sae, task=task, n=n, metric=metric, methods=methods, truths="",
        base=base, seed=seed, device=device, dtype=dtype, skip_bad=skip_bad, out=out,
    )  # fmt: skip
    print_scores(folder)


def patch(
    model: options.Model = options.DEFAULT_MODEL,
    sae: options.Saes = None,
    task: options.Task = "ioi",
    n: options.N = None,
    metric: options.Metric = "logit_diff",
    truths: options.Truths = options.DEFAULT_TRUTHS,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    dtype: options.Dtype = "float32",
    batch_size: options.BatchSize = 128,
    skip_bad: options.SkipBad = False,
    out: options.Out = None,
) -> None:
    """Measure the exact effect of every feature by intervening, without any estimate.

    Example:

        relp-sae patch --truths denoise --out runs/truth
    """
    from relp_sae.cli.terminal import print_scores

    folder = _execute(
        model=model, sae=sae, task=task, n=n, metric=metric, methods="", truths=truths,
        seed=seed, device=device, dtype=dtype, batch_size=batch_size, skip_bad=skip_bad, out=out,
    )  # fmt: skip
    print_scores(folder)


def _execute(
    *,
    model: str,
    sae: str | None,
    methods: str,
    truths: str,
    base: str = "both",
    out: Path | None,
    **settings: object,
) -> "RunFolder":
    """Make the config, run it with progress on the terminal, and return the finished folder."""
    options.one_of(base, ("corrupted", "clean", "both"), "--base")
    saes = options.saes_for(model, sae)
    path = options.folder_for(out, [str(settings["task"]), model])

    from relp_sae.cli.terminal import progress
    from relp_sae.experiment import run_experiment
    from relp_sae.records import RunConfig

    config = RunConfig.model_validate(
        {"batch_size": 128, "bootstrap": 2000, **settings}
        | {"model": model, "saes": saes, "base": base}
        | {"methods": options.split(methods), "truths": options.split(truths)}
    )
    with progress() as track:
        return run_experiment(config, path, track)
