"""Does the model do the task at all, and what follows for the reading of the rest?"""

from relp_sae.faithfulness import share_interval
from relp_sae.records import Manifest
from relp_sae.records.manifest import Behaviour
from relp_sae.report import setup_tables
from relp_sae.report.blocks import Section
from relp_sae.report.wording import number, percent

CHANCE = 0.5
"""The answer is compared with one foil."""


def behaviour_section(manifest: Manifest) -> Section:
    """The sentences and the tables behind them."""
    heading = "Does the model do the task?"
    found = manifest.behaviour
    if found is None:
        return Section(heading, ("Not measured in this run.",))
    return Section(
        heading,
        (
            f"{does_the_task(found)} {kept_pairs(found)}",
            *_bad_lines(found),
            setup_tables.behaviour_table(found),
            *([setup_tables.dropped_table(found)] if found.dropped else []),
        ),
    )


def behaviour_line(manifest: Manifest) -> str:
    """The same for the terminal, with the means; empty where nothing was measured."""
    found, config = manifest.behaviour, manifest.config
    if found is None:
        return ""
    means = (
        f"Mean {config.metric}: {number(found.clean_metric, 2)} clean, "
        f"{number(found.corrupted_metric, 2)} corrupted."
    )
    return f"Task {config.task}: {does_the_task(found)} {means} {kept_pairs(found)}"


def does_the_task(found: Behaviour) -> str:
    """Whether the answer beats the foil more often than chance, with the interval that says so."""
    right = share_interval(round(found.clean_accuracy * found.measured), found.measured)
    if right.low > CHANCE:
        verdict = "The model does this task"
    elif right.high < CHANCE:
        verdict = "The model does not do this task"
    else:
        verdict = "These pairs do not show that the model does this task"
    return (
        f"{verdict}. It prefers the answer on {percent(right.value)} of the {found.measured} clean "
        f"prompts (95 % interval {percent(right.low)} to {percent(right.high)}; "
        f"chance is {percent(CHANCE)}), and on {percent(found.corrupted_accuracy)} of the "
        "corrupted ones."
    )


def kept_pairs(found: Behaviour) -> str:
    """How many pairs are analysed, and what they can stand for."""
    counts = f"{found.kept} pairs are kept and {sum(found.dropped.values())} left out."
    right = share_interval(round(found.clean_accuracy * found.measured), found.measured)
    if right.low > CHANCE:
        return f"{counts} The scores are of the kept pairs."
    most = "Most pairs are left out, and the" if 2 * found.kept < found.measured else "The"
    return (
        f"{counts} {most} kept ones may have come out right by chance: their scores say what moved "
        "these logits, not how the model does the task. Take more pairs, another task or another "
        "model."
    )


def _bad_lines(found: Behaviour) -> list[str]:
    """Which lines of the user's file are not among the pairs, where there are any."""
    if not found.bad_lines:
        return []
    count = len(found.bad_lines)
    return [f"{count} lines of the pairs file could not be used: {'; '.join(found.bad_lines)}."]
