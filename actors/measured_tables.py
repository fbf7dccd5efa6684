"""Tables of measured figures beside the packaged boards: CSV files whose first lines, behind `#`, say their source."""

from __future__ import annotations

import csv
from pathlib import Path

import actors

_BOARDS = Path(actors.__file__).parent / "boards"


def measured_rows(file: str) -> list[dict[str, str]]:
    """Return the rows of a table in `actors/boards/`, each by column.

    `measured_rows("odroid_xu3_power.csv")[0]["mhz"]` is `"200"`.
    """
    lines = (_BOARDS / file).read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader(line for line in lines if line[0] != "#"))
