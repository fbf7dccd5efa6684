"""The sums that a rail's readings make over time, and the reasons for which a sum is not known.

All arithmetic is on whole numbers (ns, µW, µJ), so nothing is rounded on the way. A meter knows no thread, no clock and
no file: it is told what was read, and when.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

GAP_PERIODS = 5
"""A power rail that shows nothing for longer than this many of its periods has an unknown energy: what it drew in
between is not known."""

_TICK_S = 0.1
"""Longest time between two steps of a counter: 1 ms for RAPL, up to 100 ms for NVML. A step may come between two
readings that are much closer together."""

_NS = 10**9


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """One reading: when, and what it showed, in µW or µJ."""

    at_ns: int
    value: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Metered:
    """A rail's figures over a window.

    Attributes:
        energy_uj: its energy; None where unknown.
        samples: number of readings.
        duplicates: number of readings that showed the same as the one before.
        longest_gap_ns: longest time without a reading, the edges of the window included; None if nothing was read.
        why_unknown: why the energy is not known; None if it is.
    """

    energy_uj: int | None
    samples: int
    duplicates: int
    longest_gap_ns: int | None
    why_unknown: str | None


class Meter(ABC):
    """The readings of one rail since `mark`. Times never run back.

    Attributes:
        last: latest reading; None before the first, and after a `mark` while the rail could not be read.
        changes: how often a reading differed from the one before, since the beginning.
        total_uj: energy since the beginning, as far as it was read.
    """

    def __init__(self, at_ns: int) -> None:
        self.last: Reading | None = None
        self.changes = 0
        self._failure: str | None = None
        self._begin(at_ns)

    @property
    @abstractmethod
    def total_uj(self) -> int:
        """Energy since the beginning, in µJ."""

    @property
    def failing(self) -> bool:
        """True if the latest attempt to read it failed."""
        return self._failure is not None

    def state(self) -> dict[str, Any]:
        """Return all that it knows, for a meter of the same rail that goes on in its place."""
        return dict(vars(self))

    def go_on(self, state: Mapping[str, Any]) -> None:
        """Go on from what another meter knew; the time since its last reading is one without a reading."""
        vars(self).update(state)

    def mark(self, at_ns: int) -> None:
        """Begin the window at a moment; a reading just before it counts as one of that moment."""
        if self.last is not None:
            self.last = None if self.failing else Reading(at_ns=at_ns, value=self.last.value)
        self._begin(at_ns)

    def _begin(self, at_ns: int) -> None:
        self._from_ns = at_ns
        self._from_uj = self.total_uj
        self._samples = self._duplicates = 0
        self._gap_ns = 0
        self._failed: str | None = self._failure
        self._doubt: str | None = None

    def add(self, at_ns: int, value: int) -> None:
        """Take in a reading."""
        now = Reading(at_ns=at_ns, value=value)
        self._gap_ns = max(self._gap_ns, at_ns - (self.last.at_ns if self.last else self._from_ns))
        if self.last is None:
            self._first(now)
        else:
            self._next(self.last, now)
            self._duplicates += value == self.last.value
            self.changes += value != self.last.value
        self._samples += 1
        self._failure = None
        self.last = now

    def fail(self, why: str) -> None:
        """Take in that it could not be read."""
        self._failure = self._failed = why

    def doubt(self, why: str) -> None:
        """Make the energy of this window unknown; the first reason stays."""
        self._doubt = self._doubt or why

    def read_out(self, at_ns: int, period_s: float) -> Metered:
        """Return the figures of the window up to a moment.

        Args:
            at_ns: the moment.
            period_s: time between two readings, as it should be.
        """
        gap_ns = max(self._gap_ns, at_ns - (self.last.at_ns if self.last else self._from_ns))
        energy_uj = self.total_uj - self._from_uj + self._since_last_uj(at_ns)
        why = self._doubt or self._why(gap_ns, period_s)
        if why is None and energy_uj < 0:
            why = f"came out below 0, at {energy_uj / 1e6:g} J: its current runs the other way"
        return Metered(
            energy_uj=None if why else energy_uj,
            samples=self._samples,
            duplicates=self._duplicates,
            longest_gap_ns=gap_ns if self._samples else None,
            why_unknown=why,
        )

    def _why(self, gap_ns: int, period_s: float) -> str | None:
        if not self._samples:
            return self._failed or "was not read"
        if self._gap_ends_sum(gap_ns, period_s):
            because = f": {self._failed}" if self._failed else ""
            periods = gap_ns / _NS / period_s
            return f"showed nothing for {gap_ns / _NS:.3g} s, {periods:.0f} times its period{because}"
        return None

    @abstractmethod
    def _first(self, now: Reading) -> None:
        """Take in the first reading since the beginning, or after a mark at which there was none."""

    @abstractmethod
    def _next(self, last: Reading, now: Reading) -> None:
        """Take in a reading after another one."""

    @abstractmethod
    def _since_last_uj(self, at_ns: int) -> int:
        """Return the energy from the latest reading up to a moment."""

    @abstractmethod
    def _gap_ends_sum(self, gap_ns: int, period_s: float) -> bool:
        """Return True if the energy is unknown because of a gap, or of a failure that lasts."""


class PowerMeter(Meter):
    """The integral of a rail that shows power, by the trapezoid rule.

    Power that changes in straight lines between the readings is integrated exactly: from 2 W at 0 s to 4 W at 1 s are
    3 J. Before the first reading and after the last one it is held.
    """

    def __init__(self, at_ns: int) -> None:
        self._doubled = 0  # twice the integral, in µW · ns
        super().__init__(at_ns)

    @property
    def total_uj(self) -> int:
        """Energy since the beginning, in µJ."""
        return self._doubled // (2 * _NS)

    def _first(self, now: Reading) -> None:
        self._doubled += 2 * now.value * (now.at_ns - self._from_ns)

    def _next(self, last: Reading, now: Reading) -> None:
        self._doubled += (last.value + now.value) * (now.at_ns - last.at_ns)

    def _since_last_uj(self, at_ns: int) -> int:
        return self.last.value * (at_ns - self.last.at_ns) // _NS if self.last else 0

    def _gap_ends_sum(self, gap_ns: int, period_s: float) -> bool:
        return gap_ns > GAP_PERIODS * period_s * _NS


class EnergyMeter(Meter):
    """The differences of a rail that counts energy.

    Nothing is lost between two readings, however far apart, unless the counter wrapped twice.

    Args:
        at_ns: the present.
        range_uj: the highest count, after which comes 0; None for a counter that does not wrap.
        most_w: the highest power that the rail can have.
    """

    def __init__(self, at_ns: int, range_uj: int | None, most_w: int) -> None:
        self._counted_uj = 0
        self._range_uj = range_uj
        self._most_w = most_w
        super().__init__(at_ns)

    @property
    def total_uj(self) -> int:
        """Energy since the beginning, in µJ."""
        return self._counted_uj

    def _first(self, now: Reading) -> None:
        if now.at_ns > self._from_ns and self._failed:
            self.doubt(f"could not be read when the run began: {self._failed}")

    def _next(self, last: Reading, now: Reading) -> None:
        span_ns, step_uj = now.at_ns - last.at_ns, now.value - last.value
        if self._range_uj is not None:
            # The true modulus is one hardware unit above the range (61 µJ), which powercap does not show.
            step_uj %= self._range_uj + 1
            if span_ns * self._most_w > self._range_uj * 1000:  # W · ns and µJ, both in nJ
                self.doubt(
                    f"was not read for {span_ns / _NS:.3g} s, in which a counter of {self._range_uj / 1e6:.0f} J can "
                    "wrap more than once"
                )
        # A counter that was set back looks like one that wrapped, but nothing draws that much.
        if step_uj < 0 or step_uj * 1000 > self._most_w * (span_ns + _TICK_S * _NS):
            self.doubt(f"ran back without wrapping, from {last.value / 1e6:g} to {now.value / 1e6:g} J: it was reset")
            return
        self._counted_uj += step_uj

    def _since_last_uj(self, at_ns: int) -> int:
        return 0

    def _gap_ends_sum(self, gap_ns: int, period_s: float) -> bool:
        return self.failing


class Standstill:
    """Tells a rail that is stuck from one at a constant load, which may show the same for as long as that lasts.

    It is asked at the end of each span, a second or twenty periods of the sensor, whichever is longer.

    - A *counter* is stuck if it did not move in a span in which the units behind it worked.
    - *Power* is stuck if the same reading stayed over spans in which the load changed. While the load is constant, a
      stuck reading does no harm, since it is still right.

    Load is in core-GHz: busy cores times their clock. The threshold is one core at 1 GHz. The smallest core here, an
    A7, draws 90 mW more for that (90 · V² · GHz, at 1 V), which is two steps of an INA3221 on a rail of 5 V (8 mA) and
    1,500 steps a second of a RAPL counter.
    """

    LOAD_GHZ = 1.0

    def __init__(self, *, counts: bool) -> None:
        self._counts = counts
        self._loads_ghz: list[float] = []

    def stuck(self, *, changed: bool, load_ghz: float) -> str | None:
        """Return why a rail is stuck after another span; None if it is not.

        Args:
            changed: true if a reading in the span differed from the one before it.
            load_ghz: mean load of the units behind the rail in the span.
        """
        if changed:
            self._loads_ghz = []
            return None
        self._loads_ghz = [min([*self._loads_ghz, load_ghz]), max([*self._loads_ghz, load_ghz])]
        least, most = self._loads_ghz
        if self._counts and load_ghz >= self.LOAD_GHZ:
            return f"stands still, while its units' load is {load_ghz:.1f} core-GHz"
        if not self._counts and most - least >= self.LOAD_GHZ:
            return f"shows the same again and again, while its units' load is {least:.1f} to {most:.1f} core-GHz"
        return None
