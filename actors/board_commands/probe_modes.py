"""NVIDIA's power modes as modes of a board: which CPUs are online in each, and which clocks are left to a unit."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from actors.agent.devices.nvpmodel import PowerMode, power_modes
from actors.agent.devices.sysfs import Tree
from scheduler.board import BoardUnit
from scheduler.mode import ClockRange, Mode

_ONLINE = re.compile(r"sys/devices/system/cpu/cpu(\d+)/online")


def board_modes(tree: Tree, units: Sequence[BoardUnit], domains: Mapping[str, Sequence[str]]) -> tuple[Mode, ...]:
    """Return the power modes of a machine, as far as its board can tell them apart.

    A mode without any CPU of the board is left out.

    Args:
        tree: the machine's files.
        units: units of the board.
        domains: by name of a unit, the directories of its clocks, each in kHz for CPUs and in Hz for a GPU.
    """
    return tuple(mode for one in power_modes(tree) if (mode := _mode(tree, one, units, domains)) is not None)


def _mode(tree: Tree, mode: PowerMode, units: Sequence[BoardUnit], domains: Mapping[str, Sequence[str]]) -> Mode | None:
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", mode.name) or mode.name.isdigit():
        return None
    off = {int(found[1]) for path, value in mode.limits.items() if (found := _ONLINE.fullmatch(path)) and value == 0}
    there = [cpu for unit in units for cpu in unit.cpus]
    left = tuple(cpu for cpu in there if cpu not in off)
    if not left:
        return None
    ranges = [
        _range(tree, mode, unit, domains.get(unit.name, ()))
        for unit in units
        if not {*unit.cpus} <= off or not unit.cpus
    ]
    return Mode(
        name=mode.name,
        id=mode.number,
        cpus=None if len(left) == len(there) else left,
        clocks=tuple(one for one in ranges if one.min_mhz is not None or one.max_mhz is not None),
    )


def _range(tree: Tree, mode: PowerMode, unit: BoardUnit, domains: Sequence[str]) -> ClockRange:
    """Return the limits that a mode sets within the unit's clocks; a limit at or beyond their end is none.

    nvpmodel's files state some that are no clocks, such as 1200 MHz between 1190.4 and 1267.2: it takes the nearest.
    """
    scale = 1e6 if unit.kind == "gpu" else 1e3
    low, high = unit.mhz[0], unit.mhz[-1]
    caps = [found / scale for domain in domains if (found := mode.cap_of(tree, domain)) is not None]
    floors = [found / scale for domain in domains if (found := mode.floor_of(tree, domain)) is not None]
    cap, floor = (
        min(unit.mhz, key=lambda mhz: abs(mhz - bound)) for bound in (min(caps, default=high), max(floors, default=low))
    )
    return ClockRange(
        unit=unit.name, min_mhz=floor if low < floor <= cap else None, max_mhz=cap if cap < high else None
    )
