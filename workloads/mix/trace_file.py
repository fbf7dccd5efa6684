"""Arrival times out of a text file: one time a line, or a column of a table, as published traces have them.

It reads UTF-8 and UTF-16, any line ending, comments, and dates. It knows nothing of runs: what a time means for an app
is `workloads.mix.arrivals`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from itertools import chain
from pathlib import Path

from scheduler.errors import did_you_mean, shown
from workloads.mix.errors import MixError

UNITS = {"s": 1, "ms": 1000, "us": 10**6, "ns": 10**9}
"""Units of time by name, with how many of each make a second."""

_UNIX = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MOST_NAMES = 8
"""Most headings that a message lists: a table of counts for each minute of a day has 1,440."""


def read_times(path: Path, column: str | int | None, unit: str) -> Iterator[tuple[int, Decimal]]:
    """Yield the times of a file in seconds, each with its line.

    A file whose third line is `1.5  # the gate opens` yields `(3, Decimal("1.5"))`.

    Args:
        path: the file.
        column: the column of a table: its heading, or its number from 1; None for a file of one time a line.
        unit: the unit of times that are numbers, one of `UNITS`. Dates such as `2023-11-16 18:17:03.979` are taken as
            Unix time in seconds; where a date names no zone, as UTC.

    Raises:
        MixError: the file cannot be read, is no text, or holds something else than a time; it names file and line.
    """
    name = f"Trace {str(path)!r}"
    lines = _text(path).splitlines()
    rows = _lines(lines, name) if column is None else _column(lines, name, column)
    for line, text in rows:
        time_s = _seconds(text, unit)
        if time_s is None:
            raise MixError(
                f"{name}, line {line}: {shown(text)} is neither a number nor a date such as 2023-11-16 18:17:03.979."
            )
        yield line, time_s


def _text(path: Path) -> str:
    """Return a file's text; a spreadsheet begins its files with a byte-order mark, which says how they are written."""
    try:
        content = path.read_bytes()
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except OSError as error:
        raise MixError(f"Trace: cannot read {str(path)!r}: {error.strerror}.") from error
    except ValueError as error:
        raise MixError(f"Trace: {str(path)!r} is not a text file: {error}.") from error
    if "\0" in text:
        raise MixError(f"Trace: {str(path)!r} is not a text file: it holds zero bytes.")
    return text


def _lines(lines: Sequence[str], name: str) -> Iterator[tuple[int, str]]:
    """Yield (line, text) of each line that holds something; a table is refused with its headings."""
    for number, line in enumerate(lines, start=1):
        text = line.partition("#")[0].strip()
        if text and not _is_time(text):
            raise MixError(f"{name}, line {number}: {_no_time(text)}")
        if text:
            yield number, text


def _no_time(text: str) -> str:
    """Return what is wrong with a line that is no time, and the fix."""
    cells = [cell.strip() for cell in text.split(_delimiter(text))]
    if len(cells) == 1:
        heading = "" if _begins_number(text) else f", or, if this is a heading, Trace(..., column={shown(text)})"
        return f"{shown(text)} is not a number of seconds; write one time a line{heading}."
    if not all(map(_begins_number, cells)):
        name = shown(cells[0])
        return f"it has the columns {_listed(cells)}; name the one with the times, Trace(..., column={name})."
    if len(cells) == 2 and "," in text:
        return (
            f"{shown(text)} is not a number of seconds; write one time a line, with a decimal point; of a table give "
            "the column's number, Trace(..., column=1)."
        )
    return f"it has {len(cells)} columns; give the number of the one with the times, Trace(..., column=1)."


def _column(lines: Sequence[str], name: str, column: str | int) -> Iterator[tuple[int, str]]:
    """Yield (line, text) of one column of a table, without the heading and rows in which the cell is empty."""
    kept = [(number, line) for number, line in enumerate(lines, start=1) if line.strip() and line.lstrip()[0] != "#"]
    delimiter = _delimiter(kept[0][1]) if kept else ","
    rows = csv.reader((line for _, line in kept), delimiter=delimiter, skipinitialspace=True)
    try:
        heading = [cell.strip() for cell in next(rows, [])]
        place = _place(name, column, heading)
        first = [] if isinstance(column, str) or not _is_time(heading[place]) else [heading]
        for row in chain(first, rows):
            number = kept[rows.line_num - 1][0]
            if place >= len(row):
                raise MixError(f"{name}, line {number}: has {len(row)} columns, and no column {place + 1}.")
            text = row[place].partition("#")[0].strip()
            # Where columns are not parted by commas, a comma in a number is a decimal one.
            text = text.replace(",", ".", 1) if delimiter != "," else text
            if text:
                yield number, text
    except csv.Error as error:
        raise MixError(f"{name}: is no table: {error}.") from None


def _place(name: str, column: str | int, heading: Sequence[str]) -> int:
    """Return the place of a column, counted from 0."""
    if isinstance(column, int):
        if not 1 <= column <= len(heading):
            raise MixError(f"{name}: there is no column {column}; it has {len(heading)}, counted from 1.")
        return column - 1
    if column not in heading:
        hint = did_you_mean(column, heading)
        raise MixError(f"{name}: there is no column {shown(column)}. It has {_listed(heading)}.{hint}")
    return heading.index(column)


def _listed(cells: Sequence[str]) -> str:
    more = f" and {len(cells) - _MOST_NAMES} more" if len(cells) > _MOST_NAMES else ""
    return ", ".join(map(shown, cells[:_MOST_NAMES])) + more


def _delimiter(line: str) -> str:
    return next((mark for mark in "\t;," if mark in line), ",")


def _begins_number(text: str) -> bool:
    """Return True for what is likely meant as a number, right or wrong."""
    return text[:1] in "+-.0123456789"


def _is_time(text: str) -> bool:
    return _number(text) is not None or _date(text) is not None


def _number(text: str) -> Decimal | None:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    # No float is that large, and nothing can be reckoned with what is larger still.
    return number if not number.is_finite() or number.adjusted() < 400 else Decimal("inf")


def _date(text: str) -> datetime | None:
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _seconds(text: str, unit: str) -> Decimal | None:
    """Return a number or a date in seconds; None for a text that is neither."""
    number = _number(text)
    if number is not None:
        # Nothing can be reckoned with NaN and infinity; whoever asked says what is wrong with them.
        return number / UNITS[unit] if number.is_finite() else number
    date = _date(text)
    return None if date is None else Decimal((date - _UNIX) // _MICROSECOND) / 10**6
