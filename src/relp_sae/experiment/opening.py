"""The start of a run: its names checked, its inputs loaded, its folder made or found again."""

import hashlib
import platform
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from relp_sae import patching
from relp_sae.attribution import method_named, require_errors_held
from relp_sae.errors import InputError
from relp_sae.experiment.loading import load_inputs
from relp_sae.experiment.progress import Progress, silent
from relp_sae.experiment.stages import Experiment, found_units
from relp_sae.faithfulness import require_budget
from relp_sae.metrics import metrics
from relp_sae.patching import engines, longest_batch, require_precision, truths
from relp_sae.records import Manifest, RunConfig, RunFolder
from relp_sae.records.manifest import Provenance, Stage
from relp_sae.run import PairedRun
from relp_sae.saes import error_terms
from relp_sae.tasks.loaded import BadLine
from relp_sae.tasks.loading import load_task

PACKAGES = ("torch", "transformers", "sae-lens", "numpy", "pandas", "scipy")


def run_experiment(config: RunConfig, out: Path, progress: Progress = silent) -> RunFolder:
    """Do every stage that ``out`` does not hold yet, and return the finished folder.

    Estimates and truths are compared and reported when the config asks for both.

    Raises:
        InputError: an unknown name or unusable input (then nothing is written), or ``out`` holds
            anything but an unfinished run of the same config.
        RunError: a check inside the run failed.
    """
    _require_names(config)
    folder = _reopened(config, out)
    start = time.perf_counter()
    run, bad_lines = _load(config)
    provenance = _provenance(run)
    if folder is None:
        load = Stage(status="done", seconds=time.perf_counter() - start)
        manifest = Manifest(config=config, provenance=provenance, stages={"load": load})
        folder = RunFolder.create(out, manifest)
    else:
        _require_same(folder, provenance, run)
    return Experiment(config, folder, run, progress).execute(bad_lines)


def _require_names(config: RunConfig) -> None:
    """Raise InputError for what can be known to be wrong before anything is loaded."""
    if not config.methods and not config.truths:
        raise InputError("Nothing to do: give at least one of --methods and --truths.")
    for name in config.methods:
        method_named(name)
    for name in config.truths:
        truths[name]
    engines[config.engine]
    error_terms[config.error_term]
    if _intervenes(config):
        require_precision(config.dtype)
    if config.verify:
        require_budget(config.verify)
    if config.units == "nodes" and (config.saes or config.sites):
        raise InputError(
            "Whole nodes need no SAE: leave --sae and --site away, or use --units features."
        )


def _intervenes(config: RunConfig) -> bool:
    measured = config.truths or config.verify or config.curves
    return bool(measured or config.scales or config.set_sizes)


def _load(config: RunConfig) -> tuple[PairedRun, tuple[BadLine, ...]]:
    """The paired run, both prompts of every pair measured, and the lines that were left out."""
    metric = metrics[config.metric]
    model, dictionaries = load_inputs(config)
    task = load_task(config.task, model.tokenizer, config.n, config.seed, config.skip_bad)
    run = PairedRun(
        model,
        dictionaries,
        task.pairs,
        metric,
        allow_other_model=config.allow_other_model,
        error_term=config.error_term,
        memory=config.memory,
    )
    require_errors_held(config.methods, run)
    assert run.kept  # measures every pair; raises where the model gets none right
    if _intervenes(config):  # a budget that is too small is known before anything is measured
        longest = max(len(run.pairs[pair].clean_ids) for pair in run.kept)
        longest_batch(run, longest)
        patching.require_errors_held(engines[config.engine](), run)
    return run, task.dropped


def _reopened(config: RunConfig, out: Path) -> RunFolder | None:
    """The folder of an unfinished run of the same config, or None where there is nothing."""
    if not out.exists():
        return None
    if not (out / "manifest.json").is_file():
        raise InputError(f"{out} exists and is not a run folder. Choose another --out.")
    folder = RunFolder.open(out)
    before = folder.read_manifest()
    if before.status == "done":
        raise InputError(f"{out} holds a finished run. Choose another --out, or remove it.")
    differing = [
        field
        for field in RunConfig.model_fields
        if field != "memory" and getattr(before.config, field) != getattr(config, field)
    ]
    if differing:
        raise InputError(
            f"{out} holds an unfinished run with other settings ({', '.join(differing)}). "
            "Give the same ones to go on with it, or choose another --out."
        )
    return folder


def _require_same(folder: RunFolder, now: Provenance, run: PairedRun) -> None:
    """Raise InputError where what is measured already would not belong to this run."""
    before = folder.read_manifest()
    if before.provenance.inputs_sha256 != now.inputs_sha256:
        raise InputError(
            f"The model, the SAEs, the pairs or this package changed since {folder.path} was "
            "begun, so it cannot go on. Choose another --out, or remove it."
        )
    # On another processor or version of torch an activation may round to the other side of a
    # threshold, and the pieces of the scores say which units they are of by their order alone.
    earlier, found = before.found_units, found_units(run)
    if earlier is not None and earlier != found:
        number = "others" if earlier.count == found.count else found.count
        raise InputError(
            f"{folder.path} was begun with {earlier.count} units ({_where(before.provenance)}); "
            f"here ({_where(now)}) {number} are found, so that its scores would not belong to "
            "them. Go on where it was begun, or choose another --out."
        )


def _where(provenance: Provenance) -> str:
    return f"torch {provenance.packages['torch']}, {provenance.platform}"


def _provenance(run: PairedRun) -> Provenance:
    model, saes = run.model.sha256(), [one.sha256() for one in run.dictionaries.values()]
    inputs = repr((version("relp-sae"), model, saes, [*run.pairs]))
    return Provenance(
        relp_sae=version("relp-sae"),
        python=platform.python_version(),
        platform=platform.platform(),
        packages={name: version(name) for name in PACKAGES},
        model_sha256=model,
        inputs_sha256=hashlib.sha256(inputs.encode()).hexdigest(),
        command=" ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
    )
