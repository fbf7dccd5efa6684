"""One rail of a sensor while it is measured: its channel, what its readings add up to, and what is told of it.

Times are board time; the meter behind counts them in whole ns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from actors.agent.devices.sysfs import DeviceError
from actors.agent.sensors.common import Channel, EnergyChannel, PowerChannel
from actors.agent.sensors.finding import mend_of
from actors.agent.sensors.meters import GAP_PERIODS, EnergyMeter, Meter, PowerMeter, Reading, Standstill
from scheduler.sensor import Sensor

_RETRY_S = 1.0
"""A rail that has failed again and again is tried after this time."""

_NS = 10**9


@dataclass(frozen=True, kw_only=True, slots=True)
class RailTotals:
    """One rail's totals since the mark.

    Attributes:
        name: name of the rail.
        covers: `board`, or the names of the units behind it.
        joules: its energy; None where unknown. That of a replayed rail is what its recording says.
        samples: number of readings.
        duplicates: number of readings that showed the same as the one before.
        longest_gap_s: longest time without a reading; None if there was none at all.
        why_unknown: why the energy is not known, or not measured; None if it was measured.
        sensor_period_s: time between two conversions of its sensor.
        step_w: the least step in which it changes; 0 where it has none that counts.
    """

    name: str
    covers: tuple[str, ...] | Literal["board"]
    joules: float | None
    samples: int
    duplicates: int
    longest_gap_s: float | None
    why_unknown: str | None
    sensor_period_s: float
    step_w: float


class Rail:
    """One rail and its meter.

    Attributes:
        sensor: what the board's file says of it.
        meter: what its readings add up to.
    """

    def __init__(self, sensor: Sensor, channel: Channel, now_s: float) -> None:
        self.sensor = sensor
        self.channel = channel
        at_ns = _ns(now_s)
        self.meter: Meter = (
            EnergyMeter(at_ns, channel.range_uj, channel.most_w)
            if isinstance(channel, EnergyChannel)
            else PowerMeter(at_ns)
        )
        self._not_measured = f"replayed from {sensor.file}: not measured in this run" if sensor.file else None
        self._standstill = Standstill(counts=isinstance(channel, EnergyChannel))
        self._changes_looked_at = 0
        self._told: Reading | None = None  # the time up to which power was told, and the energy up to then
        self._told_w: float | None = None
        self._failures = 0  # in a row
        self._tried_s = -math.inf

    def show(self, now_s: float, *, force: bool) -> Any:
        """Return what it shows, or the error; None if it has failed again and again, and was tried lately."""
        if self._failures > GAP_PERIODS and now_s < self._tried_s + _RETRY_S and not force:
            return None
        try:
            return self.channel.show()
        except DeviceError as error:
            return error

    def take(self, at_s: float, shown: Any) -> None:
        """Take in what `show` gave at a time."""
        if shown is None:
            return
        try:
            if isinstance(shown, DeviceError):
                raise shown
            self.meter.add(_ns(at_s), self.channel.value(shown))
            self._failures = 0
            if self._told is None:
                self._told = Reading(at_ns=_ns(at_s), value=self.meter.total_uj)
        except DeviceError as error:
            mend = mend_of(self.sensor, error)
            self.meter.fail(f"{error}; {mend}" if mend else str(error))
            self._failures += 1
            self._tried_s = at_s

    def look(self, load_ghz: float) -> None:
        """Look if it is stuck, after a span in which the units behind it had this load."""
        changes, before = self.meter.changes, self._changes_looked_at
        self._changes_looked_at = changes
        why = self._standstill.stuck(changed=changes > before or self.meter.failing, load_ghz=load_ghz)
        if why:
            self.meter.doubt(why)

    def mark(self, now_s: float) -> None:
        """Begin the window of `totals`."""
        self.meter.mark(_ns(now_s))

    def totals(self, now_s: float, period_s: float, sensor_period_s: float) -> RailTotals:
        """Return its totals from the mark to a time.

        Args:
            now_s: the time.
            period_s: time between two readings, as it should be.
            sensor_period_s: time between two conversions of the sensor.
        """
        metered = self.meter.read_out(_ns(now_s), period_s)
        return RailTotals(
            name=self.sensor.rail,
            covers=self.sensor.covers,
            joules=None if metered.energy_uj is None else metered.energy_uj / 1e6,
            samples=metered.samples,
            duplicates=metered.duplicates,
            longest_gap_s=None if metered.longest_gap_ns is None else metered.longest_gap_ns / _NS,
            why_unknown=metered.why_unknown or self._not_measured,
            sensor_period_s=sensor_period_s,
            step_w=self.channel.step_w if isinstance(self.channel, PowerChannel) else 0.0,
        )

    def mean_w(self) -> float | None:
        """Return its mean power since the last call, in W; the last one again if nothing was read since.

        It is None where it is not known, or not measured.
        """
        last = self.meter.last
        if last is None or self.meter.failing or self._not_measured:
            self._told = self._told_w = None
            return None
        now = Reading(at_ns=last.at_ns, value=self.meter.total_uj)
        before, self._told = self._told, now
        if before is not None and now.at_ns > before.at_ns:
            self._told_w = 1000 * (now.value - before.value) / (now.at_ns - before.at_ns)
        return self._told_w


def _ns(time_s: float) -> int:
    return round(time_s * _NS)
