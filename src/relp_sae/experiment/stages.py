"""The stages of a run: what each measures, and where the folder keeps it."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pandas as pd

from relp_sae.attribution import batches, method_named
from relp_sae.attribution.method import Passes
from relp_sae.errors import InputError
from relp_sae.experiment.comparing import write_findings
from relp_sae.experiment.progress import Progress
from relp_sae.faithfulness import certificate, plan
from relp_sae.patching import (
    Change,
    Measuring,
    Shards,
    UnitRows,
    engines,
    in_shards,
    pair_curves,
    scaled_effects,
    scores_of_pair,
    set_effects,
    shards,
    step_effects,
    truths,
)
from relp_sae.records import FeatureScores, RunConfig, RunFolder
from relp_sae.records.manifest import Behaviour, FoundUnits, RoleAudit, Stage
from relp_sae.records.scores import Base, Kind
from relp_sae.report import write_report
from relp_sae.rules.inspection import inspect_composite
from relp_sae.run import PairedRun
from relp_sae.run.quality import completeness, error_share, sae_quality
from relp_sae.tasks.loaded import BadLine

PART = ("score", "stderr")
"""The columns of a part of the scores."""


class Experiment:
    """A loaded run and the folder that its stages fill."""

    def __init__(
        self, config: RunConfig, folder: RunFolder, run: PairedRun, progress: Progress
    ) -> None:
        self.config, self.folder, self.run, self.progress = config, folder, run, progress
        engine = engines[config.engine]()
        self.measuring = Measuring(engine, config.permutations, config.tolerance, config.seed)

    def execute(self, bad_lines: tuple[BadLine, ...] = ()) -> RunFolder:
        """Do every stage that is not done yet."""
        config = self.config
        with self._stage("measure"):
            self._measure(bad_lines)
        scores = [*self._estimates(), *self._truths()]
        self._record_sums(scores)
        self.folder.write_scores(scores)
        self._tables(scores)
        if config.verify:
            with self._stage("certificates"):
                self._certify([one for one in scores if one.kind == "estimate"])
        if config.methods and config.truths:
            with self._stage("agreement"):
                write_findings(self.folder, self.progress)
            write_report(self.folder)
        self._update(status="done")
        self.folder.drop_parts()
        return self.folder

    def _measure(self, bad_lines: tuple[BadLine, ...]) -> None:
        run, config = self.run, self.config
        self.folder.write_pairs(run.measured)
        if not len(run.units):  # finds every unit's step, so that no method's time has that in it
            raise InputError(
                "Nothing differs between the two runs of any pair at "
                f"{', '.join(map(str, run.sites))}. Use other pairs or a later site."
            )
        run.prefixes.find(run.kept)  # for the same reason
        audits = {}
        ids = run.prompt_ids(run.kept[0])
        for composite in {method_named(name).composite for name in config.methods} - {""}:
            seen = inspect_composite(run.model, composite, ids)
            seen.require_same_logits()
            audits[composite] = {
                role: RoleAudit(rule=rule, fired=fired, expected=expected)
                for role, (rule, fired, expected) in seen.audit.items()
            }
        saes = run.sites if config.units == "features" else []
        self._update(
            behaviour=_behaviour(run, bad_lines),
            found_units=found_units(run),
            rule_audit=dict(sorted(audits.items())),
            sae_quality={str(site): sae_quality(run, site) for site in saes},
        )

    def _estimates(self) -> Iterator[FeatureScores]:
        run = self.run
        for name in self.config.methods:
            method = method_named(name)
            passes = method.passes(len(run.sites))
            together = batches(run, method.rows)
            pieces = [np.concatenate([rows_of(run, pair) for pair in some]) for some in together]
            for base in method.bases:
                if self.config.base in ("both", base) or base == "both":

                    def scores(
                        piece: int, base: Base = base, method=method, together=together
                    ) -> pd.DataFrame:
                        score = np.concatenate(method.scores(run, together[piece], base))
                        return pd.DataFrame({"score": score, "stderr": np.zeros_like(score)})

                    yield self._scored("estimate", name, base, pieces, scores, passes)

    def _truths(self) -> Iterator[FeatureScores]:
        for name in self.config.truths:
            truth = truths[name]
            pieces = shards(self.run, truth)

            def effects(piece: int, truth=truth, pieces=pieces) -> pd.DataFrame:
                found = truth.effects(self.run, pieces[piece], self.measuring)
                return pd.DataFrame({"score": found.effect, "stderr": found.stderr})

            yield self._scored("truth", name, truth.base, pieces, effects)

    def _scored(
        self,
        kind: Kind,
        name: str,
        base: Base,
        pieces: Shards,
        compute: Callable[[int], pd.DataFrame],
        passes: Passes | None = None,
    ) -> FeatureScores:
        """One score of all units, measured in pieces, as a stage of its own."""
        label = f"{name}@{base}" if kind == "estimate" and base != "both" else name
        with self._stage(label, passes):
            frames = self._piecewise(f"{kind}-{label}", label, range(len(pieces)), compute)
        whole = np.empty((len(self.run.units), len(PART)))
        whole[np.concatenate(pieces)] = pd.concat(frames)[list(PART)]
        return FeatureScores(kind, name, base, self.run.units, whole[:, 0], whole[:, 1])

    def _certify(self, estimates: Sequence[FeatureScores]) -> None:
        """Patch what each estimate's certificate needs, every unit once for each base."""
        run, config = self.run, self.config
        plans = {one.label: plan(one, config.verify, config.seed) for one in estimates}
        certificates = []
        for truth, from_clean in (("denoise", False), ("noise", True)):
            mine = [one for one in estimates if (one.base == "clean") is from_clean]
            if not mine:
                continue
            needed = np.unique(np.concatenate([plans[one.label].rows for one in mine]))
            pieces, change = in_shards(needed), Change(from_clean)

            def patched(piece: int, pieces=pieces, change=change) -> pd.DataFrame:
                found = step_effects(run, pieces[piece], change, self.measuring.engine)
                return pd.DataFrame({"effect": found})

            frames = self._piecewise(
                f"verify-{truth}", f"verifying by {truth}", range(len(pieces)), patched
            )
            effects = np.full(len(run.units), np.nan)
            effects[needed] = pd.concat(frames)["effect"]
            certificates += [
                certificate(one, truth, plans[one.label], effects[plans[one.label].rows])
                for one in mine
            ]
        self.folder.write_certificates(certificates)

    def _tables(self, scores: Sequence[FeatureScores]) -> None:
        """The measurements that are no score of a single unit, each a table of its own."""
        config, run, engine = self.config, self.run, self.measuring.engine
        wanted: dict[str, tuple[Sequence[int], Callable[[int], pd.DataFrame]]] = {}
        if config.curves:
            wanted["curves"] = (
                run.kept,
                lambda pair: pair_curves(run, pair, scores_of_pair(scores, pair), engine),
            )
        if config.scales:
            shares = in_shards(np.arange(len(run.units)))
            wanted["sweep"] = (
                range(len(shares)),
                lambda piece: scaled_effects(run, shares[piece], config.scales, engine),
            )
        estimates = [one for one in scores if one.kind == "estimate"]
        if config.set_sizes and estimates:
            wanted["sets"] = (
                run.kept,
                lambda pair: set_effects(
                    run,
                    pair,
                    scores_of_pair(estimates, pair),
                    config.set_sizes,
                    config.seed,
                    engine,
                ),
            )
        for name, (pieces, compute) in wanted.items():
            with self._stage(name):
                frames = self._piecewise(name, name, pieces, compute)
                self.folder.write_table(name, pd.concat(frames, ignore_index=True))

    def _piecewise(
        self,
        part: str,
        label: str,
        pieces: Sequence[int],
        compute: Callable[[int], pd.DataFrame],
    ) -> list[pd.DataFrame]:
        """What is found of every piece; that of one that an earlier try finished is read."""
        frames = []
        for piece in self.progress(label, pieces):
            name = f"{part.replace(':', '-')}-{piece}"
            frame = self.folder.read_part(name)
            if frame is None:
                frame = compute(piece)
                self.folder.write_part(name, frame)
            frames.append(frame)
        return frames

    def _record_sums(self, scores: Sequence[FeatureScores]) -> None:
        """Into the manifest: what error units carry, and whether estimates add up."""
        measured = [one for one in scores if one.kind == "truth"]
        quality = self.folder.read_manifest().sae_quality
        shares = {
            site: one.model_copy(
                update={"error_share": {t.name: error_share(t, site) for t in measured}}
            )
            for site, one in quality.items()
        }
        estimates = [one for one in scores if one.kind == "estimate"]
        sums = {one.label: completeness(self.run, one) for one in estimates}
        self._update(sae_quality=shares, completeness={k: one for k, one in sums.items() if one})

    @contextmanager
    def _stage(self, name: str, passes: Passes | None = None) -> Iterator[None]:
        """Time a stage. One that an earlier try finished keeps its time; a killed try's is lost."""
        before = self.folder.read_manifest().stages.get(name)
        if before is not None and before.status == "done":
            yield
            return
        self._set_stage(name, Stage(status="running"))
        start = time.perf_counter()
        yield
        costs = {} if passes is None else passes._asdict()
        seconds = time.perf_counter() - start
        self._set_stage(name, Stage(status="done", seconds=seconds, **costs))

    def _set_stage(self, name: str, stage: Stage) -> None:
        self._update(stages=self.folder.read_manifest().stages | {name: stage})

    def _update(self, **changes: object) -> None:
        manifest = self.folder.read_manifest()
        self.folder.write_manifest(manifest.model_copy(update=changes))


def found_units(run: PairedRun) -> FoundUnits:
    """Which units the run has: what a later try has to find again."""
    return FoundUnits(count=len(run.units), sha256=run.units.sha256())


def rows_of(run: PairedRun, pair: int) -> UnitRows:
    """Which of a run's units are a pair's."""
    first, last = np.searchsorted(run.units.pair, [pair, pair + 1])
    return np.arange(first, last)


def _behaviour(run: PairedRun, bad_lines: tuple[BadLine, ...]) -> Behaviour:
    seen = run.behaviours
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
