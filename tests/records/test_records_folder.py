"""What is written to a run folder is what is read from it, or a sentence says why not."""

import dataclasses
import errno
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from relp_sae.errors import InputError
from relp_sae.records import (
    Agreement,
    Contrast,
    FeatureScores,
    Findings,
    Interval,
    Manifest,
    MeasuredPair,
    PromptPair,
    RunConfig,
    RunFolder,
    Units,
)
from relp_sae.records.manifest import Behaviour, Provenance, RoleAudit, Stage
from relp_sae.records.scores_file import scores_frame

MANIFEST = Manifest(
    config=RunConfig(
        model="m",
        saes=("s",),
        task="ioi",
        n=2,
        methods=("relp", "gradient"),
        truths=("denoise",),
        base="corrupted",
        seed=3,
        device="cpu",
        dtype="float32",
        bootstrap=100,
    ),
    provenance=Provenance(
        relp_sae="0.1.0",
        python="3.11",
        platform="linux",
        packages={"numpy": "2"},
        model_sha256="00",
        inputs_sha256="ef" * 32,
        command="relp-sae run",
        started="now",
    ),
    stages={"truths": Stage(status="done", seconds=1.5)},
    behaviour=Behaviour(
        measured=2,
        kept=1,
        dropped={"wrong": 1},
        clean_accuracy=0.5,
        corrupted_accuracy=0.0,
        clean_metric=1.0,
        corrupted_metric=-1.0,
    ),
    rule_audit={"relp": {"norm": RoleAudit(rule="ln", fired=3, expected=3)}},
)

PAIRS = [
    MeasuredPair(PromptPair("a b", "a c", (0, 1, 2), (0, 1, 3), 7, 8), 1.25, -0.5),
    MeasuredPair(
        PromptPair("ü | b", "ü | d", (0, 4, 5, 6), (0, 4, 9, 6), 8, 7), -0.1, 0.2, "wrong"
    ),
]


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "runs" / "one", MANIFEST)


def scores(name: str = "relp", base: str = "corrupted", seed: int = 0) -> FeatureScores:
    rng = np.random.default_rng(seed)
    units = Units(
        pair=np.array([0, 0, 1]),
        site=np.array(["resid_pre.1", "resid_pre.10", "resid_pre.1"]),
        pos=np.array([2, 2, 3]),
        feature=np.array([-1, 5, 4607]),
        delta=rng.normal(size=3),
        relative_step=np.abs(rng.normal(size=3)),
    )
    kind = "truth" if name == "denoise" else "estimate"
    return FeatureScores(kind, name, base, units, rng.normal(size=3), np.abs(rng.normal(size=3)))  # pyright: ignore


def equal(one: FeatureScores, other: FeatureScores) -> bool:
    return one.label == other.label and scores_frame(one).equals(scores_frame(other))


def test_manifest_comes_back(folder: RunFolder) -> None:
    assert RunFolder.open(folder.path).read_manifest() == MANIFEST
    done = MANIFEST.model_copy(update={"status": "done"})
    folder.write_manifest(done)
    assert folder.read_manifest() == done


def test_the_hash_of_units_is_of_which_they_are_and_not_of_their_steps() -> None:
    units = scores(seed=0).units
    assert scores(seed=1).units.sha256() == units.sha256()
    wider = dataclasses.replace(units, site=units.site.astype("<U40"))
    assert wider.sha256() == units.sha256()
    others = [units.chosen(np.arange(2)), units.chosen(np.array([1, 0, 2]))]
    for name in ("pair", "pos", "feature"):
        changed = getattr(units, name) + np.array([0, 0, 1])
        others.append(dataclasses.replace(units, **{name: changed}))
    others.append(dataclasses.replace(units, site=units.site[[1, 0, 2]]))
    others.append(dataclasses.replace(units, pos=units.feature, feature=units.pos))
    assert len({units.sha256(), *(one.sha256() for one in others)}) == 8


def test_pairs_come_back(folder: RunFolder) -> None:
    folder.write_pairs(PAIRS)
    assert folder.read_pairs() == PAIRS


def test_scores_come_back_bit_for_bit_in_the_order_written(folder: RunFolder) -> None:
    written = [
        scores("denoise"),
        scores("relp", "corrupted", 1),
        scores("relp", "clean", 2),
        scores("gradient", "clean", 3),
    ]
    folder.write_scores(written)
    read = folder.read_scores()
    labels = [one.label for one in read]
    assert labels == ["denoise", "relp@corrupted", "relp@clean", "gradient@clean"]
    assert all(map(equal, read, written))
    assert read[0].units.is_error.tolist() == [True, False, False]


def long_ago(path: Path, written: list[FeatureScores], rows: int) -> None:
    """As files were written at first: all scores as one table, cut into row groups anywhere."""
    frame = pd.concat([scores_frame(one) for one in written], ignore_index=True)
    frame.to_parquet(path, index=False, row_group_size=rows)


@pytest.mark.parametrize("rows", [1, 2, 4, 100])
def test_streamed_scores_are_those_of_one_table(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    written = [scores("denoise"), scores("relp", "clean", 2), scores("gradient", "clean", 3)]
    path = folder.path / "scores.parquet"
    long_ago(path, written, rows)
    before, columns = pd.read_parquet(path), pq.read_schema(path)
    old = folder.read_scores()
    monkeypatch.setattr("relp_sae.records.scores_file.ROWS", rows)
    folder.write_scores(iter(written))
    pd.testing.assert_frame_equal(pd.read_parquet(path), before)
    assert pq.read_schema(path).equals(columns)
    assert pq.ParquetFile(path).num_row_groups == 3 * math.ceil(3 / rows)
    read = folder.read_scores()
    assert len(read) == 3
    assert all(map(equal, read, written))
    assert all(map(equal, old, written))


def test_equal_units_are_one_object(folder: RunFolder) -> None:
    one, other, third = scores(), scores("gradient"), scores("secant")
    moved = dataclasses.replace(third.units, pos=third.units.pos + 1)
    folder.write_scores([one, dataclasses.replace(third, units=moved), other])
    first, different, second = folder.read_scores()
    assert first.units is second.units
    assert different.units is not first.units
    assert different.units.pos.tolist() == [3, 3, 4]


def test_a_score_that_fails_leaves_the_folder_as_it_was(folder: RunFolder) -> None:
    folder.write_scores([scores()])
    before = {file.name: file.read_bytes() for file in folder.path.iterdir()}

    def failing() -> Iterator[FeatureScores]:
        yield scores(seed=9)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        folder.write_scores(failing())
    assert {file.name: file.read_bytes() for file in folder.path.iterdir()} == before


def test_parts_stay_until_they_are_dropped(folder: RunFolder) -> None:
    frame = scores_frame(scores())
    assert folder.read_part("relp") is None
    folder.write_part("relp", frame)
    part = folder.read_part("relp")
    assert part is not None
    assert len(part) == 3
    pd.testing.assert_frame_equal(part, frame)
    folder.write_scores([scores()])
    assert folder.read_part("relp") is not None
    folder.drop_parts()
    assert not (folder.path / "parts").exists()


def test_agreement_comes_back_with_its_nan(folder: RunFolder) -> None:
    undefined = Interval(math.nan, math.nan, math.nan, "constant truth")
    agreement = Agreement(
        "relp", "clean", "noise", "pearson", Interval(0.5, 0.25, 0.75), undefined, (0.5, math.nan)
    )
    contrast = Contrast(
        "relp", "gradient", "clean", "noise", "pearson", undefined, math.nan, 1.0, True
    )
    folder.write_findings(Findings((agreement,), (contrast,)))
    findings = folder.read_findings()
    [read], [read_contrast] = findings.agreements, findings.contrasts
    assert "NaN" not in (folder.path / "agreement.json").read_text(encoding="utf-8")
    assert repr(read) == repr(agreement)
    assert repr(read_contrast) == repr(contrast)


def test_an_existing_folder_is_not_overwritten(folder: RunFolder) -> None:
    with pytest.raises(InputError, match=r"exists already\. Choose another --out"):
        RunFolder.create(folder.path, MANIFEST.model_copy(update={"status": "done"}))
    assert folder.read_manifest() == MANIFEST


def test_a_folder_below_a_file_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="Cannot make the run folder"):
        RunFolder.create(tmp_path / "file" / "run", MANIFEST)


def test_another_folder_is_not_a_run_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no manifest\.json"):
        RunFolder.open(tmp_path)


@pytest.mark.parametrize("text", ["{", '{"format": 1}', "[]"])
def test_another_manifest_is_refused(folder: RunFolder, text: str) -> None:
    (folder.path / "manifest.json").write_text(text)
    with pytest.raises(InputError, match="is not a manifest that this version reads"):
        folder.read_manifest()


def test_an_unknown_field_of_the_manifest_is_refused(folder: RunFolder) -> None:
    path = folder.path / "manifest.json"
    path.write_text(path.read_text().replace('"seed"', '"sead"'))
    with pytest.raises(InputError, match="sead"):
        folder.read_manifest()


@pytest.mark.parametrize(
    ("what", "file"), [("pairs", "pairs"), ("scores", "scores"), ("findings", "agreement")]
)
def test_what_is_not_there_yet_is_said_with_the_command(
    folder: RunFolder, what: str, file: str
) -> None:
    with pytest.raises(InputError, match=rf"has no {file}\..* yet. Make it with: relp-sae"):
        getattr(folder, f"read_{what}")()


@pytest.mark.parametrize("keep", [0, 4, 200])
def test_truncated_parquet_is_a_sentence(folder: RunFolder, keep: int) -> None:
    folder.write_scores([scores()])
    path = folder.path / "scores.parquet"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        folder.read_scores()


def full_disk(_: int) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_leaves_the_folder_as_it_was(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write_scores([scores()])
    before = {file.name: file.read_bytes() for file in folder.path.iterdir()}
    monkeypatch.setattr("os.fsync", full_disk)
    for write in (
        lambda: folder.write_scores([scores(seed=9)]),
        lambda: folder.write_manifest(MANIFEST.model_copy(update={"status": "done"})),
        lambda: folder.write_pairs(PAIRS),
        lambda: folder.write_findings(Findings()),
    ):
        with pytest.raises(InputError, match=r"No space left on device\. Free space or choose"):
            write()
    assert {file.name: file.read_bytes() for file in folder.path.iterdir()} == before
