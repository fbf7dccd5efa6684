"""A recording of a rail's power, read as if the rail were measured now. What comes of it was not measured in this run.

The file is a CSV with the columns `at_s` (board time, rising) and `power_w`. Between two rows the power is a straight
line; outside the recording there is none.
"""

from __future__ import annotations

import csv
import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median

from actors.agent.devices.sysfs import DeviceError
from actors.agent.sensors.common import Period, PowerChannel, SensorError
from actors.clock import Clock
from scheduler.errors import shown

WORD = "replay"
COLUMNS = ("at_s", "power_w")


class Recording(PowerChannel):
    """A recording that plays.

    Args:
        file: path of the CSV.
        clock: board time.

    Raises:
        SensorError: if the file is no such recording.
    """

    def __init__(self, file: str, clock: Clock) -> None:
        self._file = file
        self._clock = clock
        rows = read_recording(file)
        self._at_s = [at_s for at_s, _ in rows]
        self._power_w = [power_w for _, power_w in rows]
        period_s = median(after - before for before, after in pairwise(self._at_s))
        self.period = Period(word_s=period_s, least_s=period_s, most_s=period_s)

    def show(self) -> float:
        """Return the power recorded for this moment, in W."""
        now_s = self._clock.now_s()
        if not self._at_s[0] <= now_s <= self._at_s[-1]:
            raise DeviceError(f"{self._file}: the recording is of {self._at_s[0]:g} to {self._at_s[-1]:g} s")
        after = min(bisect_right(self._at_s, now_s), len(self._at_s) - 1)
        (from_s, to_s), (from_w, to_w) = self._at_s[after - 1 : after + 1], self._power_w[after - 1 : after + 1]
        return from_w + (to_w - from_w) * (now_s - from_s) / (to_s - from_s)

    def value(self, shown: float) -> int:
        """Return it in µW."""
        return round(1e6 * shown)

    def close(self) -> None:
        """Do nothing: the file was read whole."""


def read_recording(file: str) -> Sequence[tuple[float, float]]:
    """Return the rows of a recording, (at_s, power_w) each.

    Raises:
        SensorError: if the file cannot be read, or holds something else; it names the line.
    """
    try:
        with Path(file).open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            if not set(COLUMNS) <= set(reader.fieldnames or ()):
                raise SensorError(f"{file}: the first line must name the columns {' and '.join(COLUMNS)}.")
            rows = [(reader.line_num, row["at_s"], row["power_w"]) for row in reader]
    except OSError as error:
        raise SensorError(f"{file}: cannot be read: {error.strerror}.") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise SensorError(f"{file}: is no CSV: {error}.") from None
    figures = [(_figure(file, line, "at_s", at_s), _figure(file, line, "power_w", w)) for line, at_s, w in rows]
    if len(figures) < 2:
        raise SensorError(f"{file}: a recording has at least two rows, not {len(figures)}.")
    for (line, _, _), (before, after) in zip(rows[1:], pairwise(figures), strict=True):
        if after[0] <= before[0]:
            raise SensorError(f"{file}, line {line}: at_s {after[0]:g} must come after {before[0]:g}; sort the rows.")
        if after[1] < 0 or before[1] < 0:
            raise SensorError(f"{file}, line {line}: power_w must be at least 0; is the sensor's sign right?")
    return figures


def _figure(file: str, line: int, column: str, text: str | None) -> float:
    try:
        figure = float(text or "")
    except ValueError:
        figure = math.nan
    if not math.isfinite(figure):
        raise SensorError(f"{file}, line {line}: {column} must be a number, not {shown(text)}.")
    return figure
