"""One run folder from several: estimates made here, truths measured there."""

from collections.abc import Sequence
from pathlib import Path

from relp_sae.errors import InputError
from relp_sae.records.folder import RunFolder

_SAME = (
    *("model", "units", "saes", "sites", "error_term", "task", "n", "metric", "seed", "dtype"),
    "skip_bad",
)
"""Settings that say what a run is about."""


def join_folders(folders: Sequence[RunFolder], out: Path) -> RunFolder:
    """A new folder with the scores of several runs of the same model, SAEs and pairs.

    Raises:
        InputError: a run is unfinished, they differ in what they are about or in the units that
            they found, or hold the same score, there is no estimate or no truth among them, or
            ``out`` exists.
    """
    manifests = [folder.read_manifest() for folder in folders]
    first = manifests[0]
    for folder, manifest in zip(folders, manifests, strict=True):
        if manifest.status != "done":
            raise InputError(f"{folder.path} holds an unfinished run; finish it first.")
        for field in _SAME:
            one, other = getattr(first.config, field), getattr(manifest.config, field)
            if one != other:
                raise InputError(
                    f"{folders[0].path} and {folder.path} cannot be joined: {field} is {one} in "
                    f"the first and {other} in the second."
                )
        if manifest.provenance.inputs_sha256 != first.provenance.inputs_sha256:
            raise InputError(
                f"{folders[0].path} and {folder.path} cannot be joined: the model, the SAEs, the "
                "pairs or the version of this package changed in between."
            )
        _require_same_units(folders[0], folder)
    scores = [score for folder in folders for score in folder.read_scores()]
    labels = [(score.kind, score.label) for score in scores]
    if len(set(labels)) < len(labels):
        twice = next(label for label in labels if labels.count(label) > 1)[1]
        raise InputError(f"The folders cannot be joined: several of them hold {twice}.")
    if {score.kind for score in scores} != {"estimate", "truth"}:
        raise InputError("A comparison needs a folder with estimates and one with truths.")
    config = first.config.model_copy(
        update={
            "methods": tuple(dict.fromkeys(m for one in manifests for m in one.config.methods)),
            "truths": tuple(dict.fromkeys(t for one in manifests for t in one.config.truths)),
        }
    )
    shares = {
        site: quality.model_copy(
            update={
                "error_share": {
                    truth: share
                    for one in manifests
                    for truth, share in one.sae_quality[site].error_share.items()
                }
            }
        )
        for site, quality in first.sae_quality.items()
    }
    joined = first.model_copy(
        update={
            "config": config,
            "stages": {name: stage for one in manifests for name, stage in one.stages.items()},
            "rule_audit": {name: a for one in manifests for name, a in one.rule_audit.items()},
            "sae_quality": shares,
            "completeness": {k: c for one in manifests for k, c in one.completeness.items()},
        }
    )
    folder = RunFolder.create(out, joined)
    folder.write_pairs(folders[0].read_pairs())
    folder.write_scores(scores)
    return folder


def _require_same_units(first: RunFolder, other: RunFolder) -> None:
    """On another processor an activation may round to the other side of a threshold."""
    one, two = first.read_manifest().found_units, other.read_manifest().found_units
    if one is None or two is None or one == two:
        return
    counts = (
        f"{one.count}, not the same" if one.count == two.count else f"{one.count} and {two.count}"
    )
    raise InputError(
        f"{first.path} and {other.path} cannot be joined: they found other units ({counts}), as "
        "happens on other processors or versions of torch. Make both on the same machine."
    )
