"""``relp-sae run``, ``attribute``, ``patch``, ``nodes`` and ``regimes``: experiments."""

from pathlib import Path
from typing import TYPE_CHECKING

from relp_sae.cli import options

if TYPE_CHECKING:
    from relp_sae.records import RunFolder

SCALES = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
SET_SIZES = (1, 4, 16, 64, 0)


def run(
    model: options.Model = options.DEFAULT_MODEL,
    sae: options.Saes = None,
    site: options.Sites = "",
    units: options.UnitsOption = "features",
    task: options.Task = "ioi",
    n: options.N = None,
    metric: options.Metric = "logit_diff",
    methods: options.Methods = options.DEFAULT_METHODS,
    truths: options.Truths = options.DEFAULT_TRUTHS,
    base: options.BaseOption = "both",
    permutations: options.Permutations = 16,
    tolerance: options.Tolerance = 0.1,
    curves: options.Curves = False,
    verify: options.Verify = 0,
    error_term: options.ErrorTerm = "pass-through",
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    dtype: options.Dtype = "float32",
    engine: options.EngineOption = "packed",
    memory: options.Memory = None,
    bootstrap: options.Bootstrap = 2000,
    skip_bad: options.SkipBad = False,
    allow_pickle: options.AllowPickle = False,
    trust_remote_code: options.TrustRemoteCode = False,
    allow_other_model: options.AllowOtherModel = False,
    out: options.Out = None,
) -> None:
    """Score every feature, patch every feature, and say how faithful each method is.

    The run folder holds the report (report.md, report.html, figures/), the scores
    (scores.parquet) and everything needed to check them (manifest.json, pairs.parquet,
    agreement.json).

    Examples:

        relp-sae run

        relp-sae run --truths denoise,noise,shapley --curves --out runs/four-truths

        relp-sae run --n 100 --task ioi-abc --methods gradient,relp --out runs/abc

        relp-sae run --model gpt2 --sae gpt2-small-res-jb/blocks.8.hook_resid_pre
    """
    folder = _execute(**locals())

    from relp_sae.cli.terminal import print_agreement

    print_agreement(folder)


def attribute(
    model: options.Model = options.DEFAULT_MODEL,
    sae: options.Saes = None,
    site: options.Sites = "",
    units: options.UnitsOption = "features",
    task: options.Task = "ioi",
    n: options.N = None,
    metric: options.Metric = "logit_diff",
    methods: options.Methods = options.DEFAULT_METHODS,
    base: options.BaseOption = "both",
    verify: options.Verify = 0,
    error_term: options.ErrorTerm = "pass-through",
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    dtype: options.Dtype = "float32",
    engine: options.EngineOption = "packed",
    memory: options.Memory = None,
    skip_bad: options.SkipBad = False,
    allow_pickle: options.AllowPickle = False,
    trust_remote_code: options.TrustRemoteCode = False,
    allow_other_model: options.AllowOtherModel = False,
    out: options.Out = None,
) -> None:
    """Score every feature by the estimates only (seconds); `compare` needs a `patch` beside it.

    With --verify N each estimate carries its measured reliability: N of its units are patched
    exactly, and the output states the agreement to expect with its interval, and which share of
    the true top k is guaranteed to be among the units patched.

    Examples:

        relp-sae attribute --methods gradient,relp --out runs/estimates

        relp-sae attribute --methods secant --verify 256
    """
    folder = _execute(**locals(), truths="")

    from relp_sae.cli.terminal import print_certificates, print_scores

    print_scores(folder)
    print_certificates(folder)


def patch(
    model: options.Model = options.DEFAULT_MODEL,
    sae: options.Saes = None,
    site: options.Sites = "",
    units: options.UnitsOption = "features",
    task: options.Task = "ioi",
    n: options.N = None,
    metric: options.Metric = "logit_diff",
    truths: options.Truths = options.DEFAULT_TRUTHS,
    permutations: options.Permutations = 16,
    tolerance: options.Tolerance = 0.1,
    error_term: options.ErrorTerm = "pass-through",
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    dtype: options.Dtype = "float32",
    engine: options.EngineOption = "packed",
    memory: options.Memory = None,
    skip_bad: options.SkipBad = False,
    allow_pickle: options.AllowPickle = False,
    trust_remote_code: options.TrustRemoteCode = False,
    allow_other_model: options.AllowOtherModel = False,
    out: options.Out = None,
) -> None:
    """Measure the exact effect of every feature by intervening, without any estimate.

    Examples:

        relp-sae patch --truths denoise --out runs/truth

        relp-sae patch --truths shapley --permutations 32
    """
    folder = _execute(**locals(), methods="")

    from relp_sae.cli.terminal import print_scores

    print_scores(folder)


def nodes(
    model: options.Model = options.DEFAULT_MODEL,
    task: options.Task = "ioi",
    n: options.N = None,
    metric: options.Metric = "logit_diff",
    methods: options.Methods = options.NODE_METHODS,
    truths: options.Truths = options.DEFAULT_TRUTHS,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    dtype: options.Dtype = "float32",
    engine: options.EngineOption = "packed",
    memory: options.Memory = None,
    bootstrap: options.Bootstrap = 2000,
    skip_bad: options.SkipBad = False,
    allow_pickle: options.AllowPickle = False,
    trust_remote_code: options.TrustRemoteCode = False,
    out: options.Out = None,
) -> None:
    """Whole nodes instead of features: RelP's own table, for any model and without an SAE.

    The units are all of x at resid_pre, attn_out and mlp_out of every layer, at every position
    where the two prompts' runs differ. The same as `run --units nodes`.

    Examples:

        relp-sae nodes

        relp-sae nodes --model gpt2 --n 100
    """
    folder = _execute(**locals(), units="nodes")

    from relp_sae.cli.terminal import print_agreement

    print_agreement(folder)


def regimes(
    model: options.Model = options.DEFAULT_MODEL,
    sae: options.Saes = None,
    site: options.Sites = "",
    task: options.Task = "ioi",
    n: options.N = None,
    metric: options.Metric = "logit_diff",
    methods: options.Methods = options.DEFAULT_METHODS,
    truths: options.Truths = options.DEFAULT_TRUTHS,
    permutations: options.Permutations = 16,
    tolerance: options.Tolerance = 0.1,
    error_term: options.ErrorTerm = "pass-through",
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    dtype: options.Dtype = "float32",
    engine: options.EngineOption = "packed",
    memory: options.Memory = None,
    bootstrap: options.Bootstrap = 2000,
    skip_bad: options.SkipBad = False,
    allow_pickle: options.AllowPickle = False,
    trust_remote_code: options.TrustRemoteCode = False,
    allow_other_model: options.AllowOtherModel = False,
    out: options.Out = None,
) -> None:
    """Where does which method win? By size of step, layer, scale of the step, and set size.

    Besides the truths, every unit is patched with .1 to 4 times its step, and random sets of 1 to
    64 units, and all of them, are patched together. Without an SAE the units are whole nodes.

    Examples:

        relp-sae regimes

        relp-sae regimes --model gpt2
    """
    given = dict(locals())
    from relp_sae.cli.terminal import print_regimes

    units = "nodes" if not sae and model != options.DEFAULT_MODEL else "features"
    if units == "nodes" and methods == options.DEFAULT_METHODS:
        given["methods"] = options.NODE_METHODS
    print_regimes(_execute(**given, units=units, scales=SCALES, set_sizes=SET_SIZES))


def _execute(
    *,
    model: str,
    sae: list[str] | None = None,
    site: str = "",
    units: str = "features",
    methods: str,
    truths: str,
    base: str = "both",
    memory: str | None,
    out: Path | None,
    **settings: object,
) -> "RunFolder":
    """Make the config, run it with progress on the terminal, and return the finished folder.

    The commands call it with all of their options, by name; ``settings`` are those that are named
    as in the config.
    """
    options.one_of(base, ("corrupted", "clean", "both"), "--base")
    options.one_of(units, options.UNITS, "--units")
    needed = units == "features" or bool(sae)
    saes = options.saes_for(model, sae) if needed else ()
    path = options.folder_for(out, [str(settings["task"]), model])

    from relp_sae.cli.terminal import progress
    from relp_sae.experiment import run_experiment
    from relp_sae.records import RunConfig
    from relp_sae.run.memory import parse_memory

    config = RunConfig.model_validate(
        {"bootstrap": 2000, **settings}
        | {"model": model, "saes": saes, "sites": options.split(site)}
        | {"units": units, "base": base}
        | {"memory": parse_memory(memory)}
        | {"methods": options.split(methods), "truths": options.split(truths)}
    )
    with progress() as track:
        return run_experiment(config, path, track)
