"""The options that several commands share, each said once."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

from typer import Option

from relp_sae.errors import InputError

DEFAULT_MODEL = "smollm2-135m"
DEFAULT_SAE = "smollm2-135m-topk"
DEFAULT_METHODS = (
    "gradient,gradient-mean,integrated-gradients,relp,relp-mean,relp-ah,secant,secant:2,"
    "delta-norm,direct,random"
)
NODE_METHODS = "gradient,gradient-mean,relp,relp-mean,relp-ah,secant,delta-norm,random"
DEFAULT_TRUTHS = "denoise,noise"
UNITS = ("features", "nodes")

TEXT = (
    "Text: a .txt, .jsonl(.gz, .zst) or .parquet file or a folder of them, hf:NAME for a Hub data "
    "set, or 'generated' by the model itself."
)

Model = Annotated[
    str, Option(help="smollm2-135m (embedded), a Hugging Face Hub id, or a local folder.")
]
Saes = Annotated[
    list[str] | None,
    Option(
        "--sae",
        help="Bundled name, SAELens folder, or RELEASE/ID of SAELens' registry (relp-sae list "
        "saes); several with commas, or the option several times. Default for the embedded "
        f"model: {DEFAULT_SAE}.",
    ),
]
Sites = Annotated[
    str,
    Option(
        "--site",
        help="Where an SAE reads that does not say it, such as resid_pre.8: one for each SAE, with "
        "commas. With whole releases: the sites to take SAEs from.",
    ),
]
AllowPickle = Annotated[
    bool,
    Option(
        "--allow-pickle",
        help="Read weights that are pickles (pytorch_model.bin, .pt); only tensors are read.",
    ),
]
TrustRemoteCode = Annotated[
    bool, Option("--trust-remote-code", help="Run code that comes with the model's files.")
]
AllowOtherModel = Annotated[
    bool,
    Option(
        "--allow-other-model",
        help="Use SAEs that were trained on another model (kept in the run's record).",
    ),
]
UnitsOption = Annotated[
    str,
    Option(
        "--units",
        help="What is scored and patched: features of SAEs, or nodes (all of x at each position of "
        "resid_pre, attn_out and mlp_out of every layer; needs no SAE).",
    ),
]
Task = Annotated[
    str, Option(help="A task's name (relp-sae list tasks), or your own pairs: FILE.jsonl.")
]
N = Annotated[
    int | None,
    Option("--n", min=1, help="Prompt pairs. Default: 32 of a task, all of a pairs file."),
]
Metric = Annotated[str, Option(help="Behaviour metric (relp-sae list metrics).")]
Methods = Annotated[
    str, Option(help="Estimates, with commas; secant:4 and integrated-gradients:20 take steps.")
]
Truths = Annotated[str, Option(help="Truths measured by intervening, with commas.")]
Permutations = Annotated[
    int, Option(min=4, help="Most permutations per pair and site for the Shapley truth.")
]
Tolerance = Annotated[
    float,
    Option(min=0.0, help="Shapley stops at this standard error, over the spread of the effects."),
]
Curves = Annotated[
    bool, Option(help="Measure circuit curves: the top k units of each ranking, patched together.")
]
Verify = Annotated[
    int,
    Option(
        min=0,
        help="Patch N units exactly for each estimate (half its top, half random) and state the "
        "agreement to expect, with its interval.",
    ),
]
BaseOption = Annotated[
    str,
    Option("--base", help="Run at which slopes are taken: corrupted, clean or both."),
]
ErrorTerm = Annotated[
    str,
    Option(
        "--error-term",
        help="With several SAEs, the error terms of later ones when a unit of an earlier one is "
        "changed: pass-through (they follow x: the model's own pass), or frozen (they stay those "
        "of the run that is patched; needs --engine reference).",
    ),
]
Seed = Annotated[int, Option(min=0, help="Seed of the pairs and of the resampling.")]
Device = Annotated[str, Option(help="cpu, cuda, cuda:1, ...")]
Dtype = Annotated[
    str,
    Option(
        help="float32 or float64 (some of Hugging Face's norms and softmaxes still pass through "
        "float32); bfloat16 for estimates only."
    ),
]
EngineOption = Annotated[
    str,
    Option(
        "--engine",
        help="How patched runs are computed: packed (fast), or reference (a full forward pass of "
        "the model for every unit; slow, to check with).",
    ),
]
Memory = Annotated[
    str | None,
    Option(
        help="Memory for what is kept of the pairs and made by patching, beside the weights of the "
        "model and SAEs, such as 2GB. Default: a quarter of what the device has available."
    ),
]
Bootstrap = Annotated[int, Option(min=100, help="Bootstrap resamples of the pairs.")]
SkipBad = Annotated[bool, Option(help="Drop and count bad lines of a pairs file.")]
Out = Annotated[
    Path | None,
    Option(help="Run folder to make. An unfinished run with the same settings goes on."),
]


def split(names: str) -> tuple[str, ...]:
    """The names of a comma-separated option, in order and once each."""
    return tuple(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))


def saes_for(model: str, saes: Sequence[str] | None) -> tuple[str, ...]:
    """The SAEs asked for, or the bundled one of the embedded model.

    A value of ``--sae`` that is a folder is one SAE, commas in its name or not; any other value is
    split at commas (no ID of SAELens' registry has one).

    Raises:
        InputError: another model without ``--sae``.
    """
    if saes:
        values = [(one,) if Path(one).exists() else split(one) for one in saes]
        return tuple(dict.fromkeys(name for names in values for name in names))
    if model == DEFAULT_MODEL:
        return (DEFAULT_SAE,)
    raise InputError(f"Give --sae for the model {model}: only {DEFAULT_MODEL} has a bundled SAE.")


def folder_for(out: Path | None, parts: Sequence[str]) -> Path:
    """``--out``, or a new folder under ``runs/`` named after what is run and when."""
    if out is not None:
        return out
    words = [Path(part).name for part in parts]
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    return Path("runs") / "-".join([*words, stamp])


def one_of(value: str, known: Iterable[str], option: str) -> str:
    """``value`` if it is known.

    Raises:
        InputError: it is not.
    """
    names = list(known)
    if value not in names:
        raise InputError(f"{option} is '{value}'; expected one of {', '.join(names)}.")
    return value
