"""Whether the model does the task: said in the report and on the terminal, with what follows."""

import pytest

from relp_sae.records import Manifest
from relp_sae.report.behaviour import behaviour_line, behaviour_section

BY_CHANCE = "may have come out right by chance: their scores say what moved these logits, not how"


def with_right(manifest: Manifest, right: int, measured: int) -> Manifest:
    """The manifest of a model that gets ``right`` of ``measured`` pairs right."""
    wrong = measured - right
    assert manifest.behaviour is not None
    behaviour = manifest.behaviour.model_copy(
        update={
            **{"measured": measured, "kept": right, "clean_accuracy": right / measured},
            **{"dropped": {"wrong": wrong} if wrong else {}, "corrupted_accuracy": 0.25},
        }
    )
    return manifest.model_copy(update={"behaviour": behaviour})


DOES, UNCLEAR, DOES_NOT = (
    "The model does this task. It prefers the answer on",
    "These pairs do not show that the model does this task. It prefers the answer on",
    "The model does not do this task. It prefers the answer on",
)


@pytest.mark.parametrize(
    ("right", "measured", "told", "follows"),
    [
        (32, 32, f"{DOES} 100 % of the 32 clean", "and 0 left out. The scores are of the kept"),
        (24, 32, f"{DOES} 75 % of the 32 clean", "and 8 left out. The scores are of the kept"),
        (3, 3, f"{UNCLEAR} 100 % of the 3 clean", "and 0 left out. The kept ones"),
        (18, 32, f"{UNCLEAR} 56 % of the 32 clean", "and 14 left out. The kept ones"),
        (15, 32, f"{UNCLEAR} 47 % of the 32 clean", "and 17 left out. Most pairs are left out"),
        (3, 32, f"{DOES_NOT} 9 % of the 32 clean", "and 29 left out. Most pairs are left out"),
    ],
)
def test_report_and_terminal_say_the_same(run_manifest, right, measured, told, follows):
    manifest = with_right(run_manifest, right, measured)
    words, *tables = behaviour_section(manifest).blocks
    for text in (str(words), behaviour_line(manifest)):
        assert told in text
        assert f"{right} pairs are kept {follows}" in text
        assert (BY_CHANCE in text) == (DOES not in told)
        assert "; chance is 50 %), and on 25 % of the corrupted ones." in text
    assert len(tables) == (2 if right < measured else 1)


def test_the_interval_is_said(run_manifest):
    """Wilson's for 24 of 32: (p + z²/2n ± z sqrt(p(1 - p)/n + z²/4n²)) / (1 + z²/n), z = 1.96."""
    words = str(behaviour_section(with_right(run_manifest, 24, 32)).blocks[0])
    assert "(95 % interval 58 % to 87 %; " in words


def test_the_terminal_names_task_and_means(run_manifest):
    line = behaviour_line(run_manifest)
    assert line.startswith(f"Task ioi: {UNCLEAR} 86 % of the 7 clean prompts (95 % interval 49 % ")
    assert "Mean logit_diff: 3.52 clean, -3.13 corrupted." in line


def test_nothing_measured_nothing_said(run_manifest):
    bare = run_manifest.model_copy(update={"behaviour": None})
    assert behaviour_line(bare) == ""
    assert behaviour_section(bare).blocks == ("Not measured in this run.",)
