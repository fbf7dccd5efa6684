"""The board as the scheduler sees it: units, clocks and power. Frozen data; knows no files and no kernel."""

from __future__ import annotations

from dataclasses import dataclass


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
        dvfs: how its clock is set: `cpufreq`, `devfreq`, `nvml`, `emulated` or `fixed`.
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
        """Whether any clock of this board is emulated."""
        return any(unit.dvfs == "emulated" for unit in self.units)
