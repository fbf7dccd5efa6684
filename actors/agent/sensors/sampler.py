"""Reads the rails of a board in the background.

Each chip has a thread of its own, since a driver may make its reader wait for a whole conversion.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NoReturn

from actors.agent.devices.sysfs import DeviceError, Tree
from actors.agent.sensors.chip import MOST_PERIOD_S, Chip, Units
from actors.agent.sensors.common import Channel, Period, PowerChannel, SensorError
from actors.agent.sensors.finding import open_channel, sensors_of
from actors.agent.sensors.rail import Rail, RailTotals
from actors.clock import Clock
from scheduler.board import Board
from scheduler.sensor import Sensor


class _Absent(PowerChannel):
    """A rail that was there when the run was checked, and is not there now."""

    period = Period(word_s=MOST_PERIOD_S, least_s=MOST_PERIOD_S, most_s=MOST_PERIOD_S)

    def __init__(self, why: str) -> None:
        self._why = why

    def show(self) -> NoReturn:
        raise DeviceError(self._why)

    def value(self, shown: object) -> NoReturn:
        raise DeviceError(self._why)

    def close(self) -> None:
        pass


class Sampler:
    """The rails that a board's file names.

    Args:
        board: the board.
        tree: the machine's files.
        clock: board time.
        units: gives each unit's clock and busy time, by which a stuck rail is told.
        cpu_s: gives the time that the calling thread has spent on a core.

    Attributes:
        covers: what each rail covers, by its name, in the order of the board's file.

    Raises:
        SensorError: if board time is not that of the wall, on which rails draw power.
    """

    def __init__(
        self, board: Board, tree: Tree, clock: Clock, units: Units, cpu_s: Callable[[], float] = time.thread_time
    ) -> None:
        sensors = sensors_of(board, tree)
        if sensors and clock.wall_s(1.0) != 1.0:
            raise SensorError(
                f"time_scale {clock.wall_s(1.0):g}: rails are measured on the wall's time; leave it at 1, or remove "
                "power.sensors."
            )
        chips: dict[tuple[str, str | None], list[Rail]] = {}
        for sensor in sensors:
            place = sensor.file or sensor.address
            chips.setdefault((sensor.driver, place), []).append(
                Rail(sensor, _opened(sensor, tree, clock), clock.now_s())
            )
        self._chips = [Chip(rails, clock, units, cpu_s) for rails in chips.values()]
        self.covers = {sensor.rail: sensor.covers for sensor in sensors}
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start to read in the background. Without it somebody must call `sample`."""
        for chip in self._chips:
            thread = threading.Thread(target=_run, args=(chip, self._stopping), name="sensors", daemon=True)
            thread.start()
            self._threads.append(thread)

    def sample(self) -> None:
        """Read every rail once, and add up."""
        for chip in self._chips:
            chip.round()
            chip.work_up()

    def mark(self) -> None:
        """Begin the window of `totals`."""
        for chip in self._chips:
            chip.mark()

    def state(self) -> dict[str, dict[str, Any]]:
        """Return what the meter of each rail knows, by the rail's name, for a sampler that goes on in place of this."""
        return {name: state for chip in self._chips for name, state in chip.state().items()}

    def go_on(self, states: Mapping[str, Mapping[str, Any]]) -> None:
        """Go on from the `state` of a sampler before, before `start`."""
        for chip in self._chips:
            chip.go_on(states)

    def totals(self) -> tuple[RailTotals, ...]:
        """Return each rail's totals since the mark, in the order of the board's file."""
        by_name = {rail.name: rail for chip in self._chips for rail in chip.totals()}
        return tuple(by_name[name] for name in self.covers)

    def powers_w(self) -> dict[str, float | None]:
        """Return each rail's mean power since the last call, in W; None where it is not known."""
        by_name = {name: power_w for chip in self._chips for name, power_w in chip.powers_w().items()}
        return {name: by_name[name] for name in self.covers}

    def close(self) -> None:
        """Stop reading. A second call does nothing."""
        self._stopping.set()
        while self._threads:
            self._threads.pop().join()
        for chip in self._chips:
            for rail in chip.rails:
                rail.channel.close()


def _run(chip: Chip, stopping: threading.Event) -> None:
    # Above ordinary work, which would otherwise make gaps. Who may not have that goes without.
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    chip.probe()
    chip.run(stopping)


def _opened(sensor: Sensor, tree: Tree, clock: Clock) -> Channel:
    try:
        return open_channel(sensor, tree, clock)
    except (DeviceError, SensorError) as error:
        return _Absent(str(error))
