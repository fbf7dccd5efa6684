"""The board as the scheduler sees it: units, clocks and power.

Frozen data; it does not know files or the kernel.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from scheduler.dvfs import DVFS
from scheduler.errors import InputError, did_you_mean
from scheduler.idle_state import IdleState
from scheduler.mode import Mode
from scheduler.sensor import Sensor
from scheduler.thermal import Thermal

MOST_IN_TRANSITION = 0.05
"""Largest share of a request that may go by while its clock changes; on slower units the clock stays as planned.

It is what plans add to a latency for the runtime itself (`scheduler.app_knowledge.MARGIN`). On a unit that takes
0.14 ms to change its clock, requests have to take 2.8 ms or more at its top clock.
"""

SAME_CLOCK = 0.02
"""Share by which two figures of one clock may differ: where a kernel measures a clock of 1200 MHz it shows 1199.998."""


def reaches(mhz: float, wanted_mhz: float) -> bool:
    """Return True if a clock that was read back is the wanted one or higher: 1199.998 MHz reaches 1200."""
    return mhz >= (1 - SAME_CLOCK) * wanted_mhz


@dataclass(frozen=True, kw_only=True, slots=True)
class BoardUnit:
    """A unit of the board: cores, or a GPU, that share one clock.

    Attributes:
        name: name of the unit, as in `cluster.yaml`.
        kind: `cpu` or `gpu`.
        cpus: the kernel's numbers of its cores; empty for a GPU.
        dvfs: the way in which its clock is set, one of `DVFS`.
        mhz: its clocks, rising.
        static_w: power of the unit at each clock with no load and idle states on; None where unknown.
        dynamic_w: power of one busy core above `static_w` at each clock; None where unknown.
        speed: speed of one core at its top clock, relative to the core that profiles were measured on.
        memory_share: share of an inference, at the top clock, that a lower clock does not stretch, 0 to 1. It is that
            of networks whose profile has none of their own (`ServiceTime.memory_share`).
        shares_at_mhz: the clock at which the networks' own shares hold, and at which the unit has one pace for all of
            them; None for the top clock.
        host: name of the CPU unit that serves a GPU; None for a CPU unit.
        domain: name of its frequency domain; units of one domain have one clock. None for a domain of its own.
        may_switch_off: true if its owner allows all its CPUs to be taken offline.
        may_lock: true if its owner allows the lock of its clocks to be set and then taken off, whoever had set one.
        transition_us: time from asking for a clock until it is in force, in µs; the old one is in force until then. 0
            of a real clock is unknown.
        idle_states: sleep states of its cores, the shallowest first.
        idle_share: power of the unit while none of its cores is busy, as a share of `static_w`.
        off_w: power of the unit while all its CPUs are offline; None where it is never switched off, or where that is
            unknown, and then it counts as idle.
        off_ms: time that it takes to take all its CPUs offline, in ms; one core of it is taken to be busy meanwhile.
        on_ms: the same for putting them online again.
        thermal: how it heats up; None where it never gets too hot.
    """

    name: str
    kind: str
    cpus: tuple[int, ...]
    dvfs: str
    mhz: tuple[float, ...]
    static_w: tuple[float, ...] | None
    dynamic_w: tuple[float, ...] | None
    speed: float = 1.0
    memory_share: float = 0.0
    shares_at_mhz: float | None = None
    host: str | None = None
    domain: str | None = None
    may_switch_off: bool = False
    may_lock: bool = False
    transition_us: float = 0.0
    idle_states: tuple[IdleState, ...] = ()
    idle_share: float = 1.0
    off_w: float | None = None
    off_ms: float = 0.0
    on_ms: float = 0.0
    thermal: Thermal | None = None

    @property
    def cores(self) -> int:
        """Number of cores that requests can take; a GPU counts as one."""
        return len(self.cpus) if self.kind == "cpu" else 1

    @property
    def numbers(self) -> tuple[int, ...]:
        """The number of each core, in the order of `cluster.yaml`: its CPU's, or 0 for a GPU, which has no CPUs."""
        return self.cpus if self.kind == "cpu" else (0,)

    @property
    def all_cpus(self) -> tuple[int, ...]:
        """The numbers of its cores, rising.

        What is online of a unit is a part of this, rising too: (4, 6) of CPUs 4 to 7, (0,) for a GPU that is there,
        and () for a unit that is away.
        """
        return tuple(sorted(self.numbers))

    def first_cpus(self, count: int) -> tuple[int, ...]:
        """Return that many of `all_cpus`, rising: those that `cluster.yaml` lists first.

        Args:
            count: how many; all where there are fewer.
        """
        return tuple(sorted(self.numbers[:count]))

    @property
    def settable(self) -> bool:
        """True if the clock can be set and held down on demand."""
        return DVFS[self.dvfs].settable

    @property
    def emulated(self) -> bool:
        """True if gearshift plays the clock: a request lasts as long as it would at that clock."""
        return DVFS[self.dvfs].emulated

    def can_pace(self, shortest_ms: float) -> bool:
        """Return True if requests can have clocks of their own: changing the clock takes little of the shortest one.

        Of a real clock it has to be known how long that takes.

        Args:
            shortest_ms: mean service time, at the top clock, of the shortest requests that may come.
        """
        quick = 1e-3 * self.transition_us <= MOST_IN_TRANSITION * shortest_ms
        known = self.emulated or self.transition_us > 0
        return DVFS[self.dvfs].per_request and len(self.mhz) > 1 and known and quick

    @property
    def powered(self) -> bool:
        """True if the unit's power figures are known."""
        return self.static_w is not None and self.dynamic_w is not None

    def allowed(self, max_mhz: float | None) -> tuple[float, ...]:
        """Return the clocks that a limit leaves, rising; the lowest clock is always left.

        A limit of 1450 MHz on clocks of 1000, 1400 and 1800 leaves (1000, 1400); one of 500 leaves (1000,).

        Args:
            max_mhz: the limit; None leaves all clocks.
        """
        if max_mhz is None:
            return self.mhz
        return tuple(mhz for mhz in self.mhz if mhz <= max_mhz) or self.mhz[:1]

    def nearest(self, mhz: float) -> float:
        """Return the clock that is nearest to a figure that was read back, the lower one of two as near.

        Of 1000, 1400 and 1800 MHz the nearest to 1199.998 is 1000.

        Args:
            mhz: the figure.
        """
        return min(self.mhz, key=lambda clock: abs(clock - mhz))

    def held_at(self, cap_mhz: float | None) -> float | None:
        """Return the clock to which a cap that was seen on the board holds the unit; None where it leaves all clocks.

        Of 1000, 1400 and 1800 MHz a cap of 1500 leaves 1400, and so does one of 1399.998: a figure within 2 % of a
        clock is that clock.

        Args:
            cap_mhz: the cap; None for none.
        """
        if cap_mhz is None:
            return None
        clock = self.nearest(cap_mhz)
        if abs(clock - cap_mhz) > SAME_CLOCK * clock:
            clock = self.allowed(cap_mhz)[-1]
        return None if clock == self.mhz[-1] else clock

    def with_clocks(self, first: int, end: int) -> BoardUnit:
        """Return the unit with some of its clocks only: those of the places from `first` up to before `end`.

        Its pace at each of them stays. `pace` is stated from the top clock, and that is now F' in place of F: with
        d = m + (1 - m) · F / F', a speed of s / d and a memory share of m / d give
        (s / d) / (m / d + (1 - m / d) · F' / mhz) = s / (m + (1 - m) · F / mhz). Networks' own shares still hold at F.

        Args:
            first: place of the lowest clock that is left.
            end: place after the highest clock that is left, at least `first` + 1.
        """
        d = self.memory_share + (1 - self.memory_share) * self.mhz[-1] / self.mhz[end - 1]
        return replace(
            self,
            mhz=self.mhz[first:end],
            static_w=self.static_w and self.static_w[first:end],
            dynamic_w=self.dynamic_w and self.dynamic_w[first:end],
            speed=self.speed / d,
            memory_share=self.memory_share / d,
            shares_at_mhz=self.mhz[-1] if self.shares_at_mhz is None and end < len(self.mhz) else self.shares_at_mhz,
        )

    def in_mode(self, mode: Mode) -> BoardUnit | None:
        """Return the unit as a mode leaves it; None if all its CPUs are offline.

        Cores (0, 1) at (1000, 1400, 1800) MHz, in a mode with CPU 0 online and a `max_mhz` of 1450, are core (0,) at
        (1000, 1400).

        Args:
            mode: the mode.
        """
        cpus = tuple(cpu for cpu in self.cpus if mode.cpus is None or cpu in mode.cpus)
        if self.cpus and not cpus:
            return None
        left = replace(self, cpus=cpus)
        for clocks in mode.clocks:
            if clocks.unit == self.name:
                end = len(self.allowed(clocks.max_mhz))
                first = sum(mhz < (clocks.min_mhz or 0.0) for mhz in self.mhz)
                left = left.with_clocks(min(first, end - 1), end)
        return left

    def resting_w(self, mhz: float, *, busy: bool, on: bool) -> float | None:
        """Return the unit's power at a clock without what busy cores take on top; None where unknown.

        With a `static_w` of 0.4, an `idle_share` of 0.5 and an `off_w` of 0.01 it is 0.4 W while a core is busy, 0.2 W
        while none is, and 0.01 W while the unit is off.

        Args:
            mhz: one of its clocks.
            busy: True if one of its cores is busy.
            on: True if one of its CPUs is online.
        """
        if self.static_w is None:
            return None
        if not on and self.off_w is not None:
            return self.off_w
        return self.static_w[self.mhz.index(mhz)] * (1.0 if busy else self.idle_share)

    def pace(self, mhz: float, memory_share: float | None = None) -> float:
        """Return the profiled milliseconds of an inference that pass in one millisecond at a clock.

        With memory share m and top clock F it is speed / (m + (1 - m) · F / mhz). A core of speed 1 and no memory share
        has a pace of 0.5 at half of its top clock, so an inference profiled at 20 ms takes 40 ms there; one of a share
        of 0.5 has a pace of 0.67 and takes 30 ms.

        A network's own share holds at `shares_at_mhz`, so there it has the unit's pace p, and elsewhere
        p / (m + (1 - m) · shares_at_mhz / mhz).

        Args:
            mhz: the clock.
            memory_share: the network's own share (`ServiceTime.memory_share`); None for the unit's.
        """
        if memory_share is None:
            return self.speed / (self.memory_share + (1 - self.memory_share) * self.mhz[-1] / mhz)
        at_mhz = self.mhz[-1] if self.shares_at_mhz is None else self.shares_at_mhz
        return self.pace(at_mhz) / (memory_share + (1 - memory_share) * at_mhz / mhz)


@dataclass(frozen=True, kw_only=True, slots=True)
class Board:
    """A board: its units and the facts about its power.

    Attributes:
        name: name of the board.
        units: its units, in the order of `cluster.yaml`.
        base_w: power of all that is not a unit; None where unknown.
        sensor: a driver all of whose rails are read whose names say what they cover, or `none`.
        sensors: the rails of which it is known what they cover; empty where `sensor` is given.
        modes: the modes that it has.
        mode: name of the mode that it is in; None for a board with all its clocks and CPUs.
        power_source: source of the power figures, as shown to users.
        ambient_c: temperature around it at the start, in °C, for units with a thermal model.
        speed_of: the machine whose core `BoardUnit.speed` is relative to. A profile fits the board if its
            `Profile.speed_of` is the same.
    """

    name: str
    units: tuple[BoardUnit, ...]
    base_w: float | None
    sensor: str
    power_source: str
    ambient_c: float = 25.0
    speed_of: str = "host"
    sensors: tuple[Sensor, ...] = ()
    modes: tuple[Mode, ...] = ()
    mode: str | None = None

    def in_mode(self, mode: str) -> Board:
        """Return the board as one of its modes leaves it; its name is then BOARD:MODE.

        A unit without a CPU online is gone, and rails no longer cover it. A GPU whose host is gone has the first CPU
        unit that is left for its host. `base_w` has what the mode's memory clock adds.

        Args:
            mode: name of the mode, or its number.

        Raises:
            InputError: if there is no such mode, and it names the modes; or if the board is in a mode already.
        """
        if self.mode is not None:
            raise InputError(
                f"Board {self.name!r} is in mode {self.mode!r}, which took clocks or CPUs away. "
                f"Load it in mode {mode!r}."
            )
        found = [one for one in self.modes if mode in (one.name, str(one.id))]
        if not found:
            known = ", ".join(f"{one.name} ({one.id})" for one in self.modes)
            choice = f"Its modes: {known}." if known else "It has none, so name the board alone."
            hint = did_you_mean(mode, [one.name for one in self.modes])
            raise InputError(f"Board {self.name!r} has no mode {mode!r}.{hint} {choice}")
        units = [left for unit in self.units if (left := unit.in_mode(found[0])) is not None]
        names = [unit.name for unit in units]
        host = next(unit.name for unit in units if unit.kind == "cpu")
        return replace(
            self,
            name=f"{self.name}:{found[0].name}",
            units=tuple(replace(unit, host=host) if unit.host not in (None, *names) else unit for unit in units),
            sensors=tuple(
                rail if rail.covers == "board" else replace(rail, covers=tuple(n for n in rail.covers if n in names))
                for rail in self.sensors
            ),
            mode=found[0].name,
            base_w=None if self.base_w is None else self.base_w + (found[0].emc_w or 0.0),
        )

    def unit(self, name: str) -> BoardUnit:
        """Return the unit of that name.

        Raises:
            KeyError: if there is none.
        """
        for unit in self.units:
            if unit.name == name:
                return unit
        raise KeyError(name)

    @property
    def housekeeper(self) -> BoardUnit:
        """The unit on which the board is managed and networks are made ready.

        It is the CPU unit whose top clock takes the least power, the later of two that take as much, and one that
        stays on.
        """
        cpus = [unit for unit in self.units if unit.kind == "cpu" and not unit.may_switch_off] or list(self.units)
        return min(reversed(cpus), key=lambda unit: unit.dynamic_w[-1] if unit.dynamic_w else 0.0)

    def cuda_number(self, unit: str) -> int:
        """Return the number of a GPU unit's CUDA device, which is its place among the GPU units of the board.

        Raises:
            ValueError: if there is no GPU unit of that name.
        """
        return [one.name for one in self.units if one.kind == "gpu"].index(unit)

    def capacity(self, unit: str) -> float:
        """Return the speed of a core of a CPU unit at its top clock, as a share of the board's fastest core.

        On a board of speeds 1.0 and 0.4 the second unit has a capacity of 0.4.

        Raises:
            KeyError: if there is no unit of that name.
        """
        return self.unit(unit).speed / max(one.speed for one in self.units if one.kind == "cpu")

    @property
    def powered(self) -> bool:
        """True if the power figures of all units are known."""
        return all(unit.powered for unit in self.units)

    @property
    def emulated(self) -> bool:
        """True if any clock of this board is emulated."""
        return any(unit.emulated for unit in self.units)

    @property
    def energy_source(self) -> Literal["modelled", "unknown"]:
        """The source of energies: `modelled` from the units' power figures, or `unknown` if one unit has none."""
        return "modelled" if self.powered else "unknown"

    def board_j(self, units_j: float | None, duration_s: float) -> float | None:
        """Return the energy of the whole board: that of its units and that of the rest.

        Units that took 40 J in 10 s on a board with a `base_w` of 1.5 make 55 J.

        Args:
            units_j: energy of all units; None where it is unknown.
            duration_s: the time in which they took it.

        Returns:
            The energy in joules; None where that of the units or of the rest is unknown.
        """
        if units_j is None or self.base_w is None:
            return None
        return units_j + self.base_w * duration_s
