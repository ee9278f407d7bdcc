"""One run folder from several: estimates made here, truths measured there."""

from collections.abc import Sequence
from pathlib import Path

from relp_sae.errors import InputError
from relp_sae.records.folder import RunFolder


def join_folders(folders: Sequence[RunFolder], out: Path) -> RunFolder:
    """A new folder with the scores of several runs of the same model, SAEs and pairs.

    Raises:
        InputError: the runs differ in what they are about, or ``out`` exists.
    """
    manifests = [folder.read_manifest() for folder in folders]
    first = manifests[0]
    for folder, manifest in zip(folders[1:], manifests[1:], strict=True):
        for field in ("model", "saes", "task", "n", "metric", "seed", "dtype"):
            one, other = getattr(first.config, field), getattr(manifest.config, field)
            if one != other:
                raise InputError(
                    f"{folders[0].path} and {folder.path} cannot be joined: {field} is {one} in "
                    f"the first and {other} in the second."
                )
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
        }
    )
    folder = RunFolder.create(out, joined)
    folder.write_pairs(folders[0].read_pairs())
    folder.write_scores([score for one in folders for score in one.read_scores()])
    return folder
