"""The board as the scheduler sees it: units, clocks and power. Frozen data; knows no files and no kernel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class Dvfs:
    """One way to set a unit's clock, and what can be done with a unit that has it.

    Attributes:
        kinds: the kinds of unit that can have it.
        settable: true if the clock can be set and held down on demand.
        emulated: true if gearshift plays the clock: a request lasts as long as it would at that clock.
    """

    kinds: tuple[str, ...]
    settable: bool = True
    emulated: bool = False


DVFS: Mapping[str, Dvfs] = MappingProxyType(
    {
        "cpufreq": Dvfs(kinds=("cpu",)),
        "devfreq": Dvfs(kinds=("gpu",)),
        "nvml": Dvfs(kinds=("gpu",)),
        "emulated": Dvfs(kinds=("cpu", "gpu"), emulated=True),
        "fixed": Dvfs(kinds=("cpu", "gpu"), settable=False),
    }
)
"""Each way to set a clock, by its word in `cluster.yaml`. `actors.agent.devices.BACK_ENDS` has those that run here."""


@dataclass(frozen=True, kw_only=True, slots=True)
class IdleState:
    """A state that a core falls into once it has been idle for long enough.

    Attributes:
        residency_us: how long it has been idle by then.
        exit_us: how much later than at once the next request there begins.
    """

    residency_us: float
    exit_us: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Thermal:
    """How a unit heats up, and how the kernel then holds its clock down.

    The unit is one resistance and one capacity to the ambient: at constant power P its temperature nears
    ambient + P · `c_per_w` with the time constant `tau_s`. Every `polling_ms` the kernel's step-wise thermal governor
    takes the highest clock it allows one step down while the trip is exceeded and the temperature rises, and one step
    up while it is not exceeded and falls (`drivers/thermal/gov_step_wise.c`).

    Attributes:
        c_per_w: thermal resistance.
        tau_s: time constant.
        trip_c: temperature above which the clock is held down.
        polling_ms: between two looks.
        static_per_c: by which share of itself `static_w` rises per degree, about `reference_c`.
        reference_c: temperature at which `static_w` is as stated.
    """

    c_per_w: float
    tau_s: float
    trip_c: float
    polling_ms: float = 1000.0
    static_per_c: float = 0.0
    reference_c: float = 45.0


@dataclass(frozen=True, kw_only=True, slots=True)
class BoardUnit:
    """Cores (or a GPU) that share one clock.

    Attributes:
        name: as in `cluster.yaml`.
        kind: `cpu` or `gpu`.
        cpus: the kernel's numbers of its cores; empty for a GPU.
        dvfs: how its clock is set, one of `DVFS`.
        mhz: its clocks, rising.
        static_w: power of the unit at each clock with no load and idle states on; None where unknown.
        dynamic_w: power of one busy core above `static_w` at each clock; None where unknown.
        speed: of one core at its top clock, relative to the core that profiles were measured on.
        memory_share: part of an inference that the clock does not stretch.
        host: a GPU's CPU unit.
        domain: units of one domain have one clock.
        transition_us: from asking for a clock until it is in force; the old one is until then.
        idle_states: the shallowest first.
        idle_share: power of the unit while none of its cores is busy, as a share of `static_w`.
        thermal: None where it never gets too hot.
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
    host: str | None = None
    domain: str | None = None
    transition_us: float = 0.0
    idle_states: tuple[IdleState, ...] = ()
    idle_share: float = 1.0
    thermal: Thermal | None = None

    @property
    def cores(self) -> int:
        """Cores that requests can take; a GPU is one."""
        return len(self.cpus) if self.kind == "cpu" else 1

    @property
    def settable(self) -> bool:
        """True if the clock can be set and held down on demand."""
        return DVFS[self.dvfs].settable

    @property
    def emulated(self) -> bool:
        """True if gearshift plays the clock: a request lasts as long as it would at that clock."""
        return DVFS[self.dvfs].emulated

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

    def pace(self, mhz: float) -> float:
        """Profiled milliseconds that a request gets through per millisecond at that clock.

        With memory share m and top clock F: speed / (m + (1 - m) · F / mhz).
        """
        return self.speed / (self.memory_share + (1 - self.memory_share) * self.mhz[-1] / mhz)


@dataclass(frozen=True, kw_only=True, slots=True)
class Board:
    """One board: its units, and what is known of its power.

    Attributes:
        name: of the board.
        units: in the order of `cluster.yaml`.
        base_w: power of all that is not a unit; None where unknown.
        sensor: name of the power sensor, or `none`.
        power_source: where the power figures come from, as shown to users.
        ambient_c: temperature around it at the start, for units with a thermal model.
        speed_of: whose core `BoardUnit.speed` is relative to; `Profile.speed_of` of the profiles that fit.
    """

    name: str
    units: tuple[BoardUnit, ...]
    base_w: float | None
    sensor: str
    power_source: str
    ambient_c: float = 25.0
    speed_of: str = "host"

    def unit(self, name: str) -> BoardUnit:
        """The unit of that name.

        Raises:
            KeyError: if there is none.
        """
        for unit in self.units:
            if unit.name == name:
                return unit
        raise KeyError(name)

    def capacity(self, unit: str) -> float:
        """What a core of a CPU unit gets through at its top clock, as a share of what the board's largest does.

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
        """Where energies come from: the units' power figures, or from nowhere if one unit has none."""
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
