"""The only place where the rooms meet: config -> stages -> records, each stage resumable.

    load -> measure -> one stage per estimate -> one stage per truth -> agreement -> report

Scores are kept pair by pair as they are made, so a killed run goes on at the pair where it stopped
and ends with the same figures.
"""

import hashlib
import platform
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from relp_sae.attribution import method_named
from relp_sae.errors import InputError
from relp_sae.faithfulness import compare, contrasts
from relp_sae.metrics import metrics
from relp_sae.models import load_model
from relp_sae.patching import BlockCalls, require_precision, truths
from relp_sae.records import FeatureScores, Findings, Manifest, RunConfig, RunFolder
from relp_sae.records.manifest import Behaviour, Provenance, RoleAudit, Stage
from relp_sae.records.scores import Base, Kind
from relp_sae.report import write_report
from relp_sae.rules.inspection import inspect_composite
from relp_sae.run import PairedRun
from relp_sae.run.quality import error_share, sae_quality
from relp_sae.saes import load_saes
from relp_sae.tasks.loaded import BadLine
from relp_sae.tasks.loading import load_task

Progress = Callable[[str, Sequence[int]], Iterable[int]]
"""(what is being done, indices of pairs) -> the same indices, shown to the user as they pass."""

PACKAGES = ("torch", "transformers", "sae-lens", "numpy", "pandas")


def silent(_what: str, pairs: Sequence[int]) -> Iterable[int]:
    """Progress that shows nothing."""
    return pairs


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
    elif folder.read_manifest().provenance.inputs_sha256 != provenance.inputs_sha256:
        raise InputError(
            f"The model, the SAEs, the pairs or this package changed since {out} was begun, so "
            "it cannot go on. Choose another --out, or remove it."
        )
    return Experiment(config, folder, run, progress).execute(bad_lines)


def _require_names(config: RunConfig) -> None:
    if not config.methods and not config.truths:
        raise InputError("Nothing to do: give at least one of --methods and --truths.")
    for name in config.methods:
        method_named(name)
    for name in config.truths:
        truths[name]
    if config.truths:
        require_precision(config.dtype)


def _load(config: RunConfig) -> tuple[PairedRun, tuple[BadLine, ...]]:
    """The paired run, both prompts of every pair measured, and the lines that were left out."""
    metric = metrics[config.metric]
    model = load_model(config.model, device=config.device, dtype=config.dtype)
    saes = load_saes(config.saes, device=config.device, dtype=config.dtype)
    task = load_task(config.task, model.tokenizer, config.n, config.seed, config.skip_bad)
    run = PairedRun(model, saes, task.pairs, metric)
    assert run.kept  # measures every pair; raises where the model gets none right
    return run, task.dropped


class Experiment:
    """A loaded run and the folder that its stages fill."""

    def __init__(
        self, config: RunConfig, folder: RunFolder, run: PairedRun, progress: Progress
    ) -> None:
        self.config, self.folder, self.run, self.progress = config, folder, run, progress

    def execute(self, bad_lines: tuple[BadLine, ...] = ()) -> RunFolder:
        """Do every stage that is not done yet."""
        with self._stage("measure"):
            self._measure(bad_lines)
        scores = [*self._estimates(), *self._truths()]
        self._record_error_shares(scores)
        self.folder.write_scores(scores)
        if self.config.methods and self.config.truths:
            with self._stage("agreement"):
                write_agreement(self.folder, scores, self.progress)
            write_report(self.folder)
        self._update(status="done")
        self.folder.drop_parts()
        return self.folder

    def _measure(self, bad_lines: tuple[BadLine, ...]) -> None:
        run = self.run
        self.folder.write_pairs(run.measured)
        audits = {}
        ids = run.model.token_ids(run.pairs[run.kept[0]].clean_ids)
        for composite in {method_named(name).composite for name in self.config.methods} - {""}:
            seen = inspect_composite(run.model, composite, ids)
            seen.require_same_logits()
            audits[composite] = {
                role: RoleAudit(rule=rule, fired=fired, expected=expected)
                for role, (rule, fired, expected) in seen.audit.items()
            }
        self._update(
            behaviour=_behaviour(run, bad_lines),
            rule_audit=dict(sorted(audits.items())),
            sae_quality={str(site): sae_quality(run, site) for site in run.sites},
        )

    def _estimates(self) -> Iterator[FeatureScores]:
        for name in self.config.methods:
            method = method_named(name)
            for base in method.bases:
                if self.config.base in ("both", base) or base == "both":

                    def scores(pair: int, base: Base = base, method=method) -> np.ndarray:
                        return method.pair_scores(self.run, pair, base)

                    yield self._pair_by_pair("estimate", name, base, scores)

    def _truths(self) -> Iterator[FeatureScores]:
        for name in self.config.truths:
            truth, calls = truths[name], BlockCalls()

            def effects(pair: int, truth=truth, calls: BlockCalls = calls) -> np.ndarray:
                return truth.pair_effects(self.run, pair, self.config.batch_size, calls)

            yield self._pair_by_pair("truth", name, truth.base, effects)

    def _pair_by_pair(
        self, kind: Kind, name: str, base: Base, compute: Callable[[int], np.ndarray]
    ) -> FeatureScores:
        """Scores of every kept pair; those of a pair that an earlier try finished are read."""
        label = f"{name}@{base}" if kind == "estimate" and base != "both" else name
        scores = []
        with self._stage(label):
            for pair in self.progress(label, self.run.kept):
                part = f"{kind}-{label.replace(':', '-')}-{pair}"
                frame = self.folder.read_part(part)
                if frame is None:
                    frame = pd.DataFrame({"score": compute(pair)})
                    self.folder.write_part(part, frame)
                scores.append(frame["score"].to_numpy())
        return self.run.scores(kind, name, base, scores)

    def _record_error_shares(self, scores: list[FeatureScores]) -> None:
        measured = [one for one in scores if one.kind == "truth"]
        quality = self.folder.read_manifest().sae_quality
        self._update(
            sae_quality={
                str(site): quality[str(site)].model_copy(
                    update={"error_share": {t.name: error_share(t, site) for t in measured}}
                )
                for site in self.run.sites
            }
        )

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        """Time a stage. One that an earlier try finished keeps its time; a killed try's is lost."""
        before = self.folder.read_manifest().stages.get(name)
        if before is not None and before.status == "done":
            yield
            return
        self._set_stage(name, Stage(status="running"))
        start = time.perf_counter()
        yield
        self._set_stage(name, Stage(status="done", seconds=time.perf_counter() - start))

    def _set_stage(self, name: str, stage: Stage) -> None:
        self._update(stages=self.folder.read_manifest().stages | {name: stage})

    def _update(self, **changes: object) -> None:
        manifest = self.folder.read_manifest()
        self.folder.write_manifest(manifest.model_copy(update=changes))


def write_agreement(
    folder: RunFolder, scores: Sequence[FeatureScores], progress: Progress = silent
) -> None:
    """Compare every estimate with every truth and save ``agreement.json``.

    Raises:
        InputError: there is no estimate, no truth, or their units differ.
    """
    manifest = folder.read_manifest()
    estimates = [one for one in scores if one.kind == "estimate"]
    measured = [one for one in scores if one.kind == "truth"]
    if not estimates or not measured:
        missing = "an estimate (relp-sae attribute)" if measured else "a truth (relp-sae patch)"
        raise InputError(f"A comparison needs {missing} beside what {folder.path} holds.")
    together = [(estimate, truth) for truth in measured for estimate in estimates]
    sampling = {"bootstrap": manifest.config.bootstrap, "seed": manifest.config.seed}
    agreements = [
        agreement
        for index in progress("comparing", range(len(together)))
        for agreement in compare(*together[index], **sampling)
    ]
    differences = contrasts(list(scores), manifest.primary, **sampling)
    folder.write_findings(Findings(tuple(agreements), tuple(differences)))


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
    if before.config != config:
        differing = ", ".join(
            field
            for field in RunConfig.model_fields
            if getattr(before.config, field) != getattr(config, field)
        )
        raise InputError(
            f"{out} holds an unfinished run with other settings ({differing}). "
            "Give the same ones to go on with it, or choose another --out."
        )
    return folder


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


def _behaviour(run: PairedRun, bad_lines: tuple[BadLine, ...]) -> Behaviour:
    seen = run.activations
    reasons = [one.dropped for one in run.measured if one.dropped]
    return Behaviour(
        measured=len(seen),
        kept=len(run.kept),
        dropped={reason: reasons.count(reason) for reason in sorted(set(reasons))},
        clean_accuracy=float(np.mean([one.clean_right for one in seen])),
        corrupted_accuracy=float(np.mean([one.corrupted_right for one in seen])),
        clean_metric=float(np.mean([one.clean_metric for one in seen])),
        corrupted_metric=float(np.mean([one.corrupted_metric for one in seen])),
        bad_lines=tuple(f"line {line.number}: {line.reason}" for line in bad_lines),
    )
