"""Checks how the keys of a board's file fit together: figures for each clock, names that exist, CPUs of one unit only.

Each value by itself is right already (`actors.board_schema`). Whether this machine is that board is asked in
`actors.cluster`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

from actors.board_schema import ENTRIES, MARKS, BoardEntry, BoardError, ModeEntry, SensorEntry, UnitEntry
from scheduler.dvfs import DVFS
from scheduler.errors import did_you_mean, shown

_MOST_W = {"cpu": 100.0, "gpu": 2000.0}
"""More than any core, cluster at rest or GPU takes (assumed): a larger figure is in another unit."""


def check(described: BoardEntry, folder: Path) -> None:
    """Check keys against each other.

    Args:
        described: the file, of which each value is right by itself.
        folder: the file's folder, in which it names other files.

    Raises:
        BoardError: if two of them do not fit; it names the key to change and the fix.
    """
    _distinct([unit.name for unit in described.units], lambda place: f"units[{place}].name", "A unit")
    owner_of_cpu: dict[int, str] = {}
    for place, unit in enumerate(described.units):
        key = f"units[{place}]"
        if unit.kind not in DVFS[unit.dvfs].kinds:
            options = ", ".join(word for word, dvfs in DVFS.items() if unit.kind in dvfs.kinds)
            raise BoardError(f"{key}.dvfs must be one of {options} where kind is {unit.kind}, not {unit.dvfs!r}.")
        if (unit.kind == "cpu") != bool(unit.cpus):
            need = "list at least one CPU" if unit.kind == "cpu" else "be left out where kind is gpu"
            raise BoardError(f"{key}.cpus must {need}, not {shown(unit.cpus)}.")
        for at, cpu in enumerate(unit.cpus):
            if cpu in owner_of_cpu:
                raise BoardError(
                    f"{key}.cpus[{at}]: CPU {cpu} is listed twice, before in {owner_of_cpu[cpu]}. "
                    f"A CPU belongs to one unit."
                )
            owner_of_cpu[cpu] = f"{key}.cpus"
        if unit.may_lock and unit.dvfs != "nvml":
            raise BoardError(f"{key}.may_lock is for clocks that NVML locks; leave it out where dvfs is {unit.dvfs}.")
        _rising(f"{key}.mhz", unit.mhz, strictly=True)
        if not DVFS[unit.dvfs].settable and len(unit.mhz) > 1:
            raise BoardError(f"{key}.mhz must be one clock where dvfs is {unit.dvfs}, not {shown(unit.mhz)}.")
        if unit.speed_at_mhz is not None and not unit.mhz[0] <= unit.speed_at_mhz <= unit.mhz[-1]:
            raise BoardError(
                f"{key}.speed_at_mhz must be within the clocks, {unit.mhz[0]:g} to {unit.mhz[-1]:g}, not "
                f"{unit.speed_at_mhz:g}."
            )
        _check_power(key, unit)
        _check_idle_states(key, unit)
        _check_thermal(key, unit, described.ambient_c)
        _check_host_unit(key, unit, described)
    _check_switching_off(described)
    _check_sensors(described, folder)
    _check_modes(described)
    _check_sources(described)


def _check_power(key: str, unit: UnitEntry) -> None:
    if (unit.static_w is None) != (unit.dynamic_w is None):
        missing, given = ("static_w", "dynamic_w") if unit.static_w is None else ("dynamic_w", "static_w")
        raise BoardError(f"{key}.{missing} is missing beside {given}. Give both, or neither where power is unknown.")
    for name in ("static_w", "dynamic_w"):
        watts = getattr(unit, name)
        if watts is not None and len(watts) != len(unit.mhz):
            raise BoardError(
                f"{key}.{name} must have one figure for each of the {len(unit.mhz)} clocks in mhz, not {len(watts)}."
            )
        for place, watt in enumerate(watts or ()):
            if watt > _MOST_W[unit.kind]:
                of = "one core" if unit.kind == "cpu" and name == "dynamic_w" else "a unit"
                raise BoardError(
                    f"{key}.{name}[{place}] is {watt:g} W for {of}; figures are in W, not mW. Divide them by 1000."
                )
    if unit.static_w is not None:
        _rising(f"{key}.static_w", unit.static_w, strictly=False)
    if unit.off_w is None:
        return
    if unit.static_w is None:
        raise BoardError(f"{key}.off_w needs static_w and dynamic_w. Add both, or leave it out.")
    idle_w = unit.idle_share * unit.static_w[0]
    if unit.off_w > idle_w:
        raise BoardError(
            f"{key}.off_w must be at most the idle power at the lowest clock, {idle_w:g} W, not {unit.off_w:g}. A unit "
            f"that is off takes no more than one that idles."
        )


def _check_idle_states(key: str, unit: UnitEntry) -> None:
    for place, (shallow, deep) in enumerate(pairwise(unit.idle_states), start=1):
        if deep.residency_us <= shallow.residency_us:
            raise BoardError(
                f"{key}.idle_states must come with rising residency_us, but [{place}] = {deep.residency_us:g} follows "
                f"{shallow.residency_us:g}. Put the shallowest first."
            )


def _check_thermal(key: str, unit: UnitEntry, ambient_c: float) -> None:
    if unit.thermal is None:
        return
    if unit.static_w is None:
        raise BoardError(f"{key}.thermal needs static_w and dynamic_w, since power is what heats. Add both.")
    if unit.thermal.trip_c <= ambient_c:
        raise BoardError(f"{key}.thermal.trip_c must be above ambient_c ({ambient_c:g}), not {unit.thermal.trip_c:g}.")


def _check_host_unit(key: str, unit: UnitEntry, described: BoardEntry) -> None:
    if unit.host is None:
        return
    cpus = [other.name for other in described.units if other.kind == "cpu"]
    if unit.kind != "gpu":
        raise BoardError(f"{key}.host is for a GPU; leave it out where kind is cpu, not {unit.host!r}.")
    if unit.host not in cpus:
        raise BoardError(
            f"{key}.host must be the name of a CPU unit, one of {', '.join(cpus)}, not {unit.host!r}."
            f"{did_you_mean(unit.host, cpus)}"
        )


def _check_switching_off(described: BoardEntry) -> None:
    """Some core has to run the kernel and gearshift itself."""
    for place, unit in enumerate(described.units):
        if not unit.may_switch_off:
            for name in ("off_w", "off_ms", "on_ms"):
                if getattr(unit, name):
                    raise BoardError(f"units[{place}].{name} is for a unit with may_switch_off: true. Add that.")
            continue
        key = f"units[{place}].may_switch_off"
        if unit.kind != "cpu":
            raise BoardError(f"{key} is for CPUs; leave it out where kind is {unit.kind}.")
        if not DVFS[unit.dvfs].settable:
            raise BoardError(f"{key} needs a clock that can be set; leave it out where dvfs is {unit.dvfs}.")
    if all(unit.may_switch_off for unit in described.units if unit.kind == "cpu"):
        places = [place for place, unit in enumerate(described.units) if unit.may_switch_off]
        if places:
            raise BoardError(
                f"units[{places[-1]}].may_switch_off: one CPU unit has to stay on. Leave it out of this unit, or of "
                f"another one."
            )


def _check_sensors(described: BoardEntry, folder: Path) -> None:
    power, units = described.power, [unit.name for unit in described.units]
    if power.sensors and power.sensor != "none":
        raise BoardError(f"power.sensor is {power.sensor!r} beside power.sensors. Give one of the two.")
    _distinct([sensor.rail for sensor in power.sensors], lambda place: f"power.sensors[{place}].rail", "A rail")
    # The board is no unit, so its rail may contain the others'. Of any two others, what both cover would count twice.
    rail_of: dict[str, str] = {}
    for place, sensor in enumerate(power.sensors):
        key = f"power.sensors[{place}]"
        for name in ["the board"] if sensor.covers == "board" else sensor.covers:
            if name not in [*units, "the board"]:
                fix = did_you_mean(name, units)
                raise BoardError(f"{key}.covers must name units, some of {', '.join(units)}, not {name!r}.{fix}")
            if name in rail_of:
                raise BoardError(f"{key}.covers: rail {rail_of[name]!r} covers {name} already. Cover it once.")
            rail_of[name] = sensor.rail
        _check_how_to_find(key, sensor, folder)


def _check_how_to_find(key: str, sensor: SensorEntry, folder: Path) -> None:
    """Check how a sensor is found: the address of a chip, the file of a recording."""
    on_bus = sensor.driver in ("ina3221", "ina2xx")
    if sensor.address is not None and not on_bus:
        raise BoardError(f"{key}.address is for a chip on an I2C bus; leave it out where driver is {sensor.driver}.")
    if sensor.address is None and sensor.driver == "ina2xx":
        raise BoardError(f"{key}.address is missing: an ina2xx has no labels. Add it, as in 0x40 or 4-0040.")
    if sensor.address is not None and not re.fullmatch(r"0x[0-7][0-9a-f]|\d+-00[0-7][0-9a-f]", sensor.address):
        raise BoardError(
            f"{key}.address must be an I2C address such as 0x40, or bus and address such as 4-0040, not "
            f"{sensor.address!r}."
        )
    if (sensor.driver == "replay") != (sensor.file is not None):
        need = "is missing. Add the recorded CSV" if sensor.file is None else "is for driver replay; leave it out"
        raise BoardError(f"{key}.file {need} where driver is {sensor.driver}.")
    if sensor.file is not None and not (folder / sensor.file).is_file():
        raise BoardError(f"{key}.file: there is no file {str(folder / sensor.file)!r}. Name a recorded CSV.")


def _check_modes(described: BoardEntry) -> None:
    names = [mode.name for mode in described.modes]
    _distinct(names, lambda place: f"modes[{place}].name", "A mode")
    _distinct([str(mode.id) for mode in described.modes], lambda place: f"modes[{place}].id", "A mode")
    if described.mode is not None and described.mode not in names:
        raise BoardError(
            f"mode must be the name of one of modes, not {described.mode!r}.{did_you_mean(described.mode, names)}"
        )
    for place, mode in enumerate(described.modes):
        if mode.name.isdigit():
            raise BoardError(f"modes[{place}].name must not be a number, since that is an id, not {mode.name!r}.")
        _check_cpus_of_mode(f"modes[{place}].cpus", mode, described)
        _check_clocks_of_mode(f"modes[{place}]", mode, described)
        _check_memory_of_mode(f"modes[{place}].emc_w", mode, described.power.base_w)


def _check_cpus_of_mode(key: str, mode: ModeEntry, described: BoardEntry) -> None:
    if mode.cpus is None:
        return
    there = [cpu for unit in described.units for cpu in unit.cpus]
    if not mode.cpus:
        raise BoardError(f"{key} must list at least one CPU. Leave it out where all are online.")
    for cpu in mode.cpus:
        if cpu not in there:
            raise BoardError(f"{key}: CPU {cpu} is not of a unit. Use some of {sorted(there)}.")
        if mode.cpus.count(cpu) > 1:
            raise BoardError(f"{key}: CPU {cpu} is listed twice. List it once.")


def _check_clocks_of_mode(key: str, mode: ModeEntry, described: BoardEntry) -> None:
    clocks = {unit.name: unit.mhz for unit in described.units}
    for bound, limits in (("min_mhz", mode.min_mhz), ("max_mhz", mode.max_mhz)):
        for name, mhz in limits.items():
            if name not in clocks:
                raise BoardError(f"{key}.{bound}.{name} is not a unit.{did_you_mean(name, clocks)}")
            if mhz not in clocks[name]:
                nearest = min(clocks[name], key=lambda clock: abs(clock - mhz))
                raise BoardError(f"{key}.{bound}.{name} must be one of its clocks, such as {nearest:g}, not {mhz:g}.")
    for name in mode.min_mhz.keys() & mode.max_mhz.keys():
        least, most = mode.min_mhz[name], mode.max_mhz[name]
        if least > most:
            raise BoardError(f"{key}.min_mhz.{name} must be at most its max_mhz, {most:g}, not {least:g}.")


def _check_memory_of_mode(key: str, mode: ModeEntry, base_w: float | None) -> None:
    if mode.emc_w is None:
        return
    if base_w is None:
        raise BoardError(f"{key} adds to power.base_w, which is unknown. Give that too, or leave emc_w out.")
    if base_w + mode.emc_w < 0:
        raise BoardError(f"{key} must leave power.base_w, {base_w:g}, at 0 at least, not {mode.emc_w:g}.")


def _check_sources(described: BoardEntry) -> None:
    """Check that each source is of a key, alone (`mhz`) or with its unit (`gpu.mhz`), and says how it is known."""
    units = [unit.name for unit in described.units]
    known = sorted({*units, *(key for entry in ENTRIES.values() for key in entry.model_fields)})
    for key, source in described.sources.items():
        for part in key.split("."):
            if part not in known:
                raise BoardError(f"sources.{key}: {part!r} is neither a key nor a unit.{did_you_mean(part, known)}")
        mark = source.partition(":")[0]
        if mark not in MARKS:
            fix = did_you_mean(mark, MARKS)
            raise BoardError(f"sources.{key} must begin with one of {', '.join(MARKS)} and a colon, not {mark!r}.{fix}")


def _distinct(names: Sequence[str], key: Callable[[int], str], what: str) -> None:
    for place, name in enumerate(names):
        if name in names[:place]:
            raise BoardError(f"{key(place)}: {what} named {name!r} is there already. Names must be unique.")


def _rising(key: str, figures: Sequence[float], *, strictly: bool) -> None:
    for place, (low, high) in enumerate(pairwise(figures), start=1):
        if high < low or (strictly and high == low):
            order = "rise" if strictly else "not fall"
            raise BoardError(f"{key} must {order} from clock to clock, but {key}[{place}] = {high:g} follows {low:g}.")
