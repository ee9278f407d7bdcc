"""What the statistics say about a run's saved scores and tables."""

from pathlib import Path

from relp_sae.errors import InputError
from relp_sae.experiment.progress import Progress, silent
from relp_sae.faithfulness import ceilings, compare, contrasts, curve_areas, regime_points
from relp_sae.records import Findings, RunFolder


def findings(folder: RunFolder | str | Path) -> Findings:
    """What the statistics say about a run: its ``agreement.json``, which is made where it lacks.

    Raises:
        InputError: there is no run folder, or there are no scores that can be compared.
    """
    opened = folder if isinstance(folder, RunFolder) else RunFolder.open(folder)
    if (opened.path / "agreement.json").is_file():
        return opened.read_findings()
    return write_findings(opened)


def write_findings(folder: RunFolder, progress: Progress = silent) -> Findings:
    """Compare every estimate with every truth, and save ``agreement.json``.

    Raises:
        InputError: there is no estimate, no truth, or their units differ.
    """
    manifest, scores = folder.read_manifest(), folder.read_scores()
    estimates = [one for one in scores if one.kind == "estimate"]
    measured = [one for one in scores if one.kind == "truth"]
    if not estimates or not measured:
        missing = "an estimate (relp-sae attribute)" if measured else "a truth (relp-sae patch)"
        raise InputError(f"A comparison needs {missing} beside what {folder.path} holds.")
    together = [(estimate, truth) for truth in measured for estimate in estimates]
    sampling = {"bootstrap": manifest.config.bootstrap, "seed": manifest.config.seed}
    curves, sweep, sets = (folder.read_table(name) for name in ("curves", "sweep", "sets"))
    found = Findings(
        agreements=tuple(
            agreement
            for index in progress("comparing", range(len(together)))
            for agreement in compare(*together[index], **sampling)
        ),
        contrasts=tuple(contrasts(scores, manifest.primary, **sampling)),
        ceilings=tuple(ceilings(scores, **sampling)),
        curves=() if curves is None else tuple(curve_areas(curves, **sampling)),
        regimes=tuple(regime_points(scores, sweep, sets, **sampling)),
    )
    folder.write_findings(found)
    return found
