"""Temperatures of a board, from the kernel's thermal zones in `/sys/class/thermal`.

The number of a zone changes from boot to boot, so a zone is told by its type. One that is switched off gives no value,
with a different error on each kernel.
"""

from __future__ import annotations

from collections.abc import Sequence

from actors.agent.devices.sysfs import Knob, KnobError, Tree
from scheduler.board import BoardUnit

_ZONES = "sys/class/thermal/thermal_zone*"

_CPU_TYPES = ("cpu-thermal", "cpu-therm", "x86_pkg_temp", "soc-thermal", "cpu_thermal")
_GPU_TYPES = ("gpu-thermal", "gpu-therm", "gpu_thermal")
"""Types of zones as boards name them, in small letters; the likeliest first."""


class Thermometer:
    """The thermal zones of a board.

    Args:
        tree: the files of the board.
    """

    def __init__(self, tree: Tree) -> None:
        self._zones: dict[str, Knob] = {}
        for zone in tree.find(_ZONES):
            name = tree.text_or_none(f"{zone}/type")
            if name is not None:
                self._zones.setdefault(name, tree.knob(f"{zone}/temp"))

    @property
    def zones(self) -> Sequence[str]:
        """The types of all zones."""
        return tuple(self._zones)

    def temp_c(self, zone: str) -> float | None:
        """Return the temperature of a zone in °C; None where there is none now.

        Args:
            zone: the zone's type.
        """
        try:
            return self._zones[zone].number() / 1000
        except (KeyError, KnobError):
            return None

    def zone_of(self, unit: BoardUnit) -> str | None:
        """Return the zone that a unit's heat shows in, by the names that boards use; None where none is known.

        A board has several clusters in one zone, so units may share one.
        """
        by_small = {name.lower(): name for name in self._zones}
        types = _CPU_TYPES if unit.kind == "cpu" else _GPU_TYPES
        return next((by_small[kind] for kind in types if kind in by_small), None)
