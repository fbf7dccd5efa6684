"""A table of measured power as text: its columns, and the cells of each row with the place that an error names.

Nothing here knows a board. `docs/power.md` describes the columns to users.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scheduler.errors import InputError, did_you_mean, shown

COLUMNS = ("board", "rail", "mhz", "busy", "network", "activity", "power_w", "role", "source", "note")
"""The columns; `power_w` has to be there. Those of `BY_UNIT` are also written with a unit, as in `mhz:gpu`."""

BY_UNIT = ("mhz", "busy", "activity")


class PowerTableError(InputError):
    """A table of measured power can't be used; the message names row, field, value and fix."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One row of a table.

    Attributes:
        where: the place that errors name, such as `table.csv, row 7`: a line of the file.
        cells: its cells that are not empty, by column.
    """

    where: str
    cells: Mapping[str, str]

    def cell(self, column: str) -> str:
        """Return a cell; empty where it is left out."""
        return self.cells.get(column, "")

    def number(self, column: str) -> float | None:
        """Return a cell as a number, at least 0; None where it is left out.

        Raises:
            PowerTableError: for anything else.
        """
        text = self.cell(column)
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            raise self.error(column, "is no number; write it as 1.25, without a unit") from None
        if not math.isfinite(value):
            raise self.error(column, "is no figure; leave the row out if it was not measured")
        if value < 0:
            raise self.error(column, "is below 0; give what was measured, or leave the row out")
        return value

    def error(self, column: str, problem: str) -> PowerTableError:
        """Return an error that names this row, a column and its value."""
        return PowerTableError(f"{self.where}, {column:.60} {shown(self.cell(column))}: {problem:.600}.")


def read_table(path: Path) -> list[Line]:
    """Read a table from a CSV file; empty lines and those that begin with `#` are left out.

    Raises:
        PowerTableError: if the file can't be read or its shape is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise PowerTableError(f"{path}: can't be read ({why}); give a CSV file in UTF-8.") from None
    # Comments become empty lines, so that the reader's count of lines stays the file's.
    reader = csv.reader("" if line.startswith("#") else line for line in text.splitlines())
    try:
        rows = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if any(map(str.strip, cells))]
    except csv.Error as error:
        raise PowerTableError(f"{path}: is no CSV: {error}; give a CSV file in UTF-8.") from None
    if len(rows) < 2:
        raise PowerTableError(f"{path}: has no rows; give a line with the columns, and a line for each figure.")
    heads = rows[0][1]
    _check_heads(path, heads)
    return [_line(path, number, heads, cells) for number, cells in rows[1:]]


def _check_heads(path: Path, heads: Sequence[str]) -> None:
    for head in heads:
        name, colon, unit = head.partition(":")
        if heads.count(head) > 1:
            raise PowerTableError(f"{path}: the column {shown(head)} is there twice; rename or remove one.")
        if name not in COLUMNS or (colon and (name not in BY_UNIT or not unit)):
            split = " Separate columns by commas." if ";" in head or "\t" in head else did_you_mean(head, COLUMNS)
            raise PowerTableError(
                f"{path}: the column {shown(head)} is unknown.{split} There are {', '.join(COLUMNS)}, and mhz:UNIT, "
                f"busy:UNIT and activity:UNIT; text of your own goes into note."
            )
    if "power_w" not in heads:
        raise PowerTableError(f"{path}: has no column 'power_w'; give the measured watts in one.")


def _line(path: Path, number: int, heads: Sequence[str], cells: Sequence[str]) -> Line:
    where = f"{path.name}, row {number}"
    if len(cells) != len(heads):
        raise PowerTableError(
            f"{where}: has {len(cells)} cells, and there are {len(heads)} columns; leave a cell empty where there is "
            f"no figure, and put text with commas into double quotes."
        )
    return Line(where=where, cells={head: cell for head, cell in zip(heads, cells, strict=True) if cell})
