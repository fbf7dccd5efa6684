"""The rails of one chip: read together, at the pace at which the chip has something new to say.

The pace is measured first: how often a reading changes, and what it costs. Then the rails are read at

    min(350 Hz, once a period of the chip, as often as it takes 1 % of a core)

A counter adds up by itself, so it is read ten times a second. What was read is kept as it came and is worked up four
times a second, because a few lines of Python that run seldom take longer than many that run at once.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import Any

import numpy as np

from actors.agent.sensors.common import Period, PowerChannel
from actors.agent.sensors.rail import Rail, RailTotals
from actors.clock import Clock
from actors.ledger.meters import UnitReading

LEAST_PERIOD_S = 1 / 350
"""Nothing is read more often: no chip here converts three rails faster at its usual settings (an INA3221: 7 ms)."""

COUNTER_PERIOD_S = 0.1
"""A counter is read this often, whatever its steps: an epoch, and a small part of any time in which it could wrap."""

MOST_PERIOD_S = 0.25
"""A chip that averages over longer is still read this often, so that its thread can be stopped."""

CPU_SHARE = 0.009
"""Share of a core that the reading of one chip may take by its thread's own clock, which leaves out a little."""

PROBE_S = 1.0
"""Longest time that a chip's period is looked for, before it is taken from its driver's word."""

_OF_COUNTERS = Period(word_s=COUNTER_PERIOD_S, least_s=0.0, most_s=COUNTER_PERIOD_S)
_POLL_S = 0.001
_ENOUGH_CHANGES = 9
_KEEP_S = 0.25  # what was read is worked up after this time
_SPAN_S, _SPAN_PERIODS = 1.0, 20  # of `Standstill`

Units = Callable[[], Mapping[str, UnitReading]]


class Chip:
    """The rails that are read together.

    Attributes:
        period_s: time between two rounds of readings.
        sensor_period_s: time between two conversions of the chip.
    """

    def __init__(self, rails: Sequence[Rail], clock: Clock, units: Units, cpu_s: Callable[[], float]) -> None:
        self.rails = rails
        self._clock = clock
        self._units = units
        self._cpu_s = cpu_s
        self._lock = threading.Lock()
        periods = [rail.channel.period for rail in rails if isinstance(rail.channel, PowerChannel)]
        self._counts = not periods
        self._period = periods[0] if periods else _OF_COUNTERS
        self._set_pace(self._period.word_s)
        self._kept: list[tuple[float, list[Any]]] = []
        self._looked_s = clock.now_s()
        self._looked_units = units()

    def _set_pace(self, sensor_s: float, round_s: float = 0.0) -> None:
        """Set the pace to what the chip has to say, and to what its driver lets a reader have."""
        self.sensor_period_s = sensor_s
        least_s = COUNTER_PERIOD_S if self._counts else LEAST_PERIOD_S
        self._least_period_s = self.period_s = max(least_s, min(sensor_s, MOST_PERIOD_S), round_s)

    def _bound_cost(self, cpu_s: float) -> None:
        """Keep the pace to what a share of a core allows, if a round takes that long on a core."""
        self.period_s = max(self._least_period_s, cpu_s / CPU_SHARE)

    # ------------------------------------------------------------ the thread

    def probe(self) -> None:
        """Measure the chip's period and what reading it costs, and set the pace accordingly."""
        start_s = next_s = self._clock.now_s()
        start_cpu_s = self._cpu_s()
        changed_s: list[list[float]] = [[] for _ in self.rails]
        lasted_s: list[float] = []
        # Once at least: a machine that stalls may have used up the time before the first reading.
        while not lasted_s or (max(map(len, changed_s)) < _ENOUGH_CHANGES and self._clock.now_s() < start_s + PROBE_S):
            begun_s = self._clock.now_s()
            changes = [rail.meter.changes for rail in self.rails]
            ended_s = self.round()
            self.work_up()
            lasted_s.append(ended_s - begun_s)
            for times_s, rail, before in zip(changed_s, self.rails, changes, strict=True):
                times_s += [ended_s] * (rail.meter.changes - before)
            next_s = max(next_s + _POLL_S, ended_s)
            self._clock.sleep_until(next_s)
        self._set_pace(sensor_period_s(max(changed_s, key=len), self._period), round_s=median(lasted_s))
        self._bound_cost((self._cpu_s() - start_cpu_s) / len(lasted_s))

    def run(self, stopping: threading.Event) -> None:
        """Read at the chip's pace until told to stop."""
        worked_up_s = next_s = self._clock.now_s()
        rounds, cpu_s = 0, self._cpu_s()
        while not stopping.is_set():
            next_s += self.period_s
            self._clock.sleep_until(next_s)
            now_s = self.round()
            rounds += 1
            # Late readings delay no later ones.
            next_s += max(0.0, (now_s - next_s) // self.period_s * self.period_s)
            if now_s >= worked_up_s + _KEEP_S:
                self.work_up()
                # What a round costs is not what it cost in the probe, where one followed the other.
                self._bound_cost((self._cpu_s() - cpu_s) / rounds)
                worked_up_s, rounds, cpu_s = now_s, 0, self._cpu_s()

    def round(self, *, force: bool = False) -> float:
        """Read every rail once; return the time, board time.

        Args:
            force: also read a rail that has failed again and again.
        """
        with self._lock:
            return self._round(force)

    def _round(self, force: bool) -> float:
        now_s = self._clock.now_s()
        shown = [rail.show(now_s, force=force) for rail in self.rails]
        # The time after the reading, since a driver may have waited for this very conversion.
        now_s = self._clock.now_s()
        self._kept.append((now_s, shown))
        return now_s

    def work_up(self) -> None:
        """Add up what was read, and look for rails that are stuck."""
        with self._lock:
            self._add_up()
            self._look()

    def _add_up(self) -> None:
        kept, self._kept = self._kept, []
        for at_s, shown in kept:
            for rail, one in zip(self.rails, shown, strict=True):
                rail.take(at_s, one)

    def _look(self) -> None:
        """Look for stuck rails, once in each span."""
        now_s = self._clock.now_s()
        span_s = now_s - self._looked_s
        if span_s < max(_SPAN_S, _SPAN_PERIODS * self.sensor_period_s):
            return
        before, units = self._looked_units, self._units()
        self._looked_s, self._looked_units = now_s, units
        for rail in self.rails:
            behind = units if rail.sensor.covers == "board" else rail.sensor.covers
            rail.look(math.fsum(_cycles_g(before[name], units[name]) for name in behind) / span_s)

    # ------------------------------------------------------------ figures

    def mark(self) -> None:
        """Begin the window of `totals`."""
        with self._lock:
            now_s = self._round(force=True)
            self._add_up()
            for rail in self.rails:
                rail.mark(now_s)

    def state(self) -> dict[str, dict[str, Any]]:
        """Return what the meter of each rail knows, by the rail's name."""
        with self._lock:
            self._add_up()
            return {rail.sensor.rail: rail.meter.state() for rail in self.rails}

    def go_on(self, states: Mapping[str, Mapping[str, Any]]) -> None:
        """Have the meters go on from what others knew, before the first reading; a rail without a state begins anew."""
        with self._lock:
            for rail in self.rails:
                rail.meter.go_on(states.get(rail.sensor.rail, {}))

    def totals(self) -> list[RailTotals]:
        """Return the totals since the mark."""
        with self._lock:
            now_s = self._round(force=True)
            self._add_up()
            return [rail.totals(now_s, self.period_s, self.sensor_period_s) for rail in self.rails]

    def powers_w(self) -> dict[str, float | None]:
        """Return each rail's mean power between the latest readings of this call and of the last one."""
        with self._lock:
            self._add_up()
            return {rail.sensor.rail: rail.mean_w() for rail in self.rails}


def sensor_period_s(changed_s: Sequence[float], period: Period) -> float:
    """Return a chip's period from the times at which a rail was seen to change, within what its driver says.

    At a constant load conversions repeat, so the true period is at most the span that is seen between two changes. The
    lower quartile of the spans is taken, which a stall of the machine does not move.

    Args:
        changed_s: times of the changes; of fewer than four nothing is concluded.
        period: the period as the driver says.
    """
    if len(changed_s) < 4:
        return period.word_s
    seen_s = float(np.percentile([after - before for before, after in pairwise(changed_s)], 25))
    return min(max(seen_s, period.least_s), period.most_s)


def _cycles_g(before: UnitReading, now: UnitReading) -> float:
    """Return the cycles, in 10⁹, that a unit's cores were busy for between two readings."""
    span_s = now.now_s - before.now_s
    mean_ghz = (now.mhz_s - before.mhz_s) / span_s / 1000 if span_s > 0 else 0.0
    return mean_ghz * (math.fsum(now.busy_s) - math.fsum(before.busy_s))
