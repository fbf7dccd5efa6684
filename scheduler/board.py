"""The board as the scheduler sees it: units, clocks and power. Frozen data; knows no files and no kernel."""

from __future__ import annotations

from dataclasses import dataclass


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

    @property
    def cores(self) -> int:
        """Cores that requests can take; a GPU is one."""
        return len(self.cpus) if self.kind == "cpu" else 1

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
    """

    name: str
    units: tuple[BoardUnit, ...]
    base_w: float | None
    sensor: str
    power_source: str

    def unit(self, name: str) -> BoardUnit:
        """The unit of that name.

        Raises:
            KeyError: if there is none.
        """
        for unit in self.units:
            if unit.name == name:
                return unit
        raise KeyError(name)

    @property
    def emulated(self) -> bool:
        """Whether any clock of this board is emulated."""
        return any(unit.dvfs == "emulated" for unit in self.units)
