"""Rails for tests of reading: what they show follows from the time on a virtual clock."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

from actors.agent.devices.sysfs import DeviceError
from actors.agent.sensors.chip import Chip, Units
from actors.agent.sensors.common import EnergyChannel, Period, PowerChannel
from actors.agent.sensors.rail import Rail
from actors.ledger.meters import UnitReading
from helpers.virtual_clock import VirtualClock
from scheduler.sensor import Sensor


class Converting(PowerChannel):
    """A power rail of a chip that converts once a period: what it shows is the power at its latest conversion.

    Attributes:
        reads: how often it was read.
        fails: why it cannot be read now; None if it can.
    """

    def __init__(
        self,
        clock: VirtualClock,
        power_w: Callable[[float], float],
        *,
        period_s: float = 0.007,
        word: Period | None = None,
        read_s: float = 0.0,
    ) -> None:
        """Make a rail.

        Args:
            clock: virtual time.
            power_w: the power at a time in s.
            period_s: the chip's true period.
            word: what its driver says of the period; else the truth.
            read_s: how long a reading takes.
        """
        self.period = word or Period(word_s=period_s, least_s=period_s, most_s=period_s)
        self.reads = 0
        self.fails: str | None = None
        self._clock = clock
        self._power_w = power_w
        self._period_s = period_s
        self._read_s = read_s

    def show(self) -> float:
        self.reads += 1
        if self._read_s:
            self._clock.sleep_until(self._clock.now_s() + self._read_s)
        if self.fails:
            raise DeviceError(self.fails)
        converted_s = math.floor(self._clock.now_s() / self._period_s + 1e-9) * self._period_s
        return self._power_w(converted_s)

    def value(self, shown: float) -> int:
        return round(1e6 * shown)

    def close(self) -> None:
        pass


class Counting(EnergyChannel):
    """An energy rail that counts a constant power."""

    most_w = 1000

    def __init__(self, clock: VirtualClock, power_w: float, *, start_uj: int = 0, range_uj: int = 262143328850) -> None:
        self.range_uj = range_uj
        self.power_w = power_w
        self._clock = clock
        self._start_uj = start_uj

    def show(self) -> int:
        return (self._start_uj + round(1e6 * self.power_w * self._clock.now_s())) % (self.range_uj + 1)

    def value(self, shown: int) -> int:
        return shown

    def close(self) -> None:
        pass


class Load:
    """The load of one unit, `cpu`, at 1 GHz.

    Attributes:
        cores: how many of its cores are busy from now on.
    """

    def __init__(self, clock: VirtualClock) -> None:
        self.cores = 0.0
        self._clock = clock
        self._at_s = clock.now_s()
        self._busy_s = 0.0

    def __call__(self) -> dict[str, UnitReading]:
        """Return the unit's reading now."""
        self.change(self.cores)
        reading = UnitReading(
            name="cpu",
            now_s=self._at_s,
            mhz=1000.0,
            other_load=0.0,
            cpus_online=(0, 1, 2, 3),
            clock_changes=0,
            busy_s=(self._busy_s,),
            mhz_s=1000.0 * self._at_s,
            static_j=None,
            dynamic_j=None,
        )
        return {"cpu": reading}

    def change(self, cores: float) -> None:
        """Make that many cores busy from now on."""
        now_s = self._clock.now_s()
        self._busy_s += self.cores * (now_s - self._at_s)
        self._at_s, self.cores = now_s, cores


def chip_of(
    clock: VirtualClock,
    *channels: PowerChannel | EnergyChannel,
    load: Units | None = None,
    cpu_s: Callable[[], float] = lambda: 0.0,
) -> Chip:
    """Return a chip of rails `rail0`, `rail1`, all of which cover the unit `cpu`."""
    rails = [
        Rail(Sensor(rail=f"rail{place}", driver="ina3221", covers=("cpu",)), channel, clock.now_s())
        for place, channel in enumerate(channels)
    ]
    return Chip(rails, clock, load or Load(clock), cpu_s)


def run_until(chip: Chip, clock: VirtualClock, end_s: float) -> None:
    """Let a chip's thread run in virtual time, on this thread, until a time."""
    stopping = threading.Event()
    first = chip.rails[0].channel
    show = first.show

    def show_and_stop() -> object:
        if clock.now_s() >= end_s:
            stopping.set()
        return show()

    first.show = show_and_stop  # type: ignore[method-assign]
    try:
        chip.run(stopping)
        chip.work_up()
    finally:
        first.show = show  # type: ignore[method-assign]
