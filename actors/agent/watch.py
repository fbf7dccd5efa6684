"""The board as others leave it, looked at once an epoch: which CPUs are online, and how warm each unit is.

nvpmodel, an administrator or the kernel may take any CPU away at any time and bring it back. The clocks are looked at
by the units' devices. CPUs that the run itself has taken offline are not counted as lost: they come back when they are
wanted.
"""

from __future__ import annotations

from collections.abc import Iterable

from actors.affinity import Affinity
from actors.agent.devices.nvpmodel import power_mode
from actors.agent.devices.sysfs import KnobError, Tree, cpu_list
from actors.agent.devices.thermal import Thermometer
from actors.agent.devices.topology import CPU
from scheduler.board import Board, BoardUnit


class BoardWatch:
    """A watch over the CPUs and the temperatures of a board.

    Args:
        board: the board.
        tree: its files.
        affinity: the kernel's masks of threads.
    """

    def __init__(self, board: Board, tree: Tree, affinity: Affinity) -> None:
        self._tree = tree
        self._affinity = affinity
        self._online = tree.knob(f"{CPU}/online")
        self._text = ""
        self._cpus: frozenset[int] | None = None
        self._ours: dict[str, frozenset[int]] = {}
        self._faults: dict[str, str] = {}
        self._reasons: dict[str, str | None] = {}
        self._units = board.units
        self._thermometer = Thermometer(tree)
        # An emulated unit has no heat of its own.
        self._zones = {unit.name: None if unit.emulated else self._thermometer.zone_of(unit) for unit in board.units}

    def look(self) -> bool:
        """Look which CPUs are online; return True if others are than the last time."""
        try:
            text = self._online.text()
        except KnobError:  # no such file, as in some containers: nothing is known
            text = ""
        if text == self._text:
            return False
        self._text = text
        try:
            listed = frozenset(cpu_list(text))
        except ValueError:
            listed = frozenset()
        # A CPU in this thread's mask is online. Where it is not listed, the list is not the kernel's but a container's,
        # with numbers of its own (lxcfs), and nothing is known.
        self._cpus = listed if listed.issuperset(self._affinity.get(0)) else None
        self._find_reasons()
        return True

    def switched_off(self, unit: BoardUnit, cpus: Iterable[int]) -> None:
        """Take in that the run itself has taken these CPUs of a unit offline."""
        self._ours[unit.name] = frozenset(cpus)
        self._find_reasons()

    def switched_on(self, unit: BoardUnit, fault: str | None) -> None:
        """Take in that the run has put a unit's CPUs online again: whichever is still away is lost.

        Args:
            unit: the unit.
            fault: reason for which not all came, in words; None if they did.
        """
        self._ours.pop(unit.name, None)
        if fault is not None:
            self._faults[unit.name] = fault
        self._find_reasons()

    def cpus_online(self, unit: BoardUnit) -> tuple[int, ...] | None:
        """Return which CPUs of a unit are online; None where that is not known. A GPU has none that could go."""
        if self._cpus is None or unit.kind != "cpu":
            return None
        return tuple(cpu for cpu in unit.all_cpus if cpu in self._cpus)

    def cpus_left(self, unit: BoardUnit) -> tuple[int, ...] | None:
        """Return which CPUs of a unit are online, or could be if the run had not taken them; None if not known."""
        online = self.cpus_online(unit)
        if online is None:
            return None
        return tuple(cpu for cpu in unit.all_cpus if cpu in {*online, *self._ours.get(unit.name, ())})

    def reason(self, unit: BoardUnit) -> str | None:
        """Return why CPUs of a unit are lost, in words; None where none is."""
        return self._reasons.get(unit.name)

    def temp_c(self, unit: BoardUnit) -> float | None:
        """Return the temperature of a unit in °C; None where no sensor of it is known."""
        zone = self._zones[unit.name]
        return None if zone is None else self._thermometer.temp_c(zone)

    def _find_reasons(self) -> None:
        self._reasons = {unit.name: self._reason(unit) for unit in self._units}

    def _reason(self, unit: BoardUnit) -> str | None:
        left = self.cpus_left(unit)
        away = {*unit.all_cpus} - {*(unit.all_cpus if left is None else left)}
        if not away:
            self._faults.pop(unit.name, None)
            return None
        if unit.name in self._faults:
            return f"switched off, and did not come back: {self._faults[unit.name]}"
        mode = power_mode(self._tree)
        if mode is not None and any(mode.limits.get(f"{CPU}/cpu{cpu}/online") == 0 for cpu in away):
            return f"nvpmodel {mode.name}"
        return "hotplug by somebody"
