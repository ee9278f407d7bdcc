"""Copies what the report needs of a finished run: ``python docs/report/keep.py RUN NAME``.

Into ``docs/results/NAME``: the manifest, the figures as PNG, the report, the cards of the features
if there are any, and ``agreement.json`` without the value of each single pair (but for Pearson's)
and in few digits. The scores stay behind: the run's command makes them again.
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from relp_sae.records import RunFolder

RESULTS = Path(__file__).parents[1] / "results"
DIGITS = 6
PER_PAIR = "pearson"


def keep(run: Path, out: Path) -> None:
    """Copy a finished run into ``out``, over what is there.

    Raises:
        InputError: ``run`` is no run folder.
    """
    folder = RunFolder.open(run)
    (out / "figures").mkdir(parents=True, exist_ok=True)
    for name in ("manifest.json", "report.md", "features.json"):
        if (folder.path / name).is_file():
            shutil.copyfile(folder.path / name, out / name)
    for picture in sorted((folder.path / "figures").glob("*.png")):
        shutil.copyfile(picture, out / "figures" / picture.name)
    found = json.loads((folder.path / "agreement.json").read_text(encoding="utf-8"))
    text = ",\n".join(
        f'"{kind}": [\n' + ",\n".join(map(_line, rows)) + "\n]" for kind, rows in found.items()
    )
    (out / "agreement.json").write_text("{" + text + "}\n", encoding="utf-8")


def _line(row: dict[str, Any]) -> str:
    if "per_pair" in row and row["measure"] != PER_PAIR:
        row = row | {"per_pair": []}
    return json.dumps(_shortened(row), ensure_ascii=False, separators=(",", ":"))


def _shortened(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shortened(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_shortened(one) for one in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a finished run folder")
    parser.add_argument("name", help="its name in docs/results")
    given = parser.parse_args()
    keep(given.run, RESULTS / given.name)


if __name__ == "__main__":
    main()
