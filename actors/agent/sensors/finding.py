"""The sensors of a board: the rails that its drivers find, and those of them that its `cluster.yaml` names.

To add a driver, write its module beside the others and give it a row in `DRIVERS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from actors.agent.devices.sysfs import DeniedError, DeviceError, Tree
from actors.agent.sensors import replay
from actors.agent.sensors.common import Channel, Driver, FoundRail, SensorError
from actors.agent.sensors.ina2xx import Ina2xx
from actors.agent.sensors.ina3221 import Ina3221
from actors.agent.sensors.nvml import NvmlRails
from actors.agent.sensors.rail_names import covers
from actors.agent.sensors.rapl import Rapl
from actors.clock import Clock
from scheduler.board import Board
from scheduler.errors import did_you_mean
from scheduler.sensor import Sensor

DRIVERS: Mapping[str, Driver] = {driver.word: driver for driver in (Ina3221(), Ina2xx(), Rapl(), NvmlRails())}
"""The drivers by their word in `cluster.yaml`; `replay` is not among them, since it finds nothing."""


def found(tree: Tree) -> tuple[FoundRail, ...]:
    """Return every rail of a machine, each with the reason if this process cannot read it.

    On a Jetson Xavier NX these are VDD_IN, VDD_CPU_GPU_CV and VDD_SOC of its INA3221.

    Args:
        tree: the machine's files.
    """
    return tuple(_tried(tree, rail) for driver in DRIVERS.values() for rail in driver.find(tree))


def sensors_of(board: Board, tree: Tree) -> tuple[Sensor, ...]:
    """Return the rails that a run measures, with what they cover.

    They are those of `power.sensors` that cover something. Under the shorthand `power.sensor: ina3221` they are all
    rails of that driver, and what they cover is guessed from their names. A rail whose name says nothing is left out,
    and so is one that covers a unit again.

    Args:
        board: the board.
        tree: the machine's files.
    """
    if board.sensor not in DRIVERS:
        return tuple(sensor for sensor in board.sensors if sensor.covers)
    guessed: list[Sensor] = []
    covered: set[str] = set()
    for rail in DRIVERS[board.sensor].find(tree):
        behind = covers(rail.feeds, board.units)
        names = {"the board"} if behind == "board" else set(behind)
        if names and not names & covered and rail.rail not in [sensor.rail for sensor in guessed]:
            covered |= names
            address = rail.address if board.sensor.startswith("ina") else None
            guessed.append(Sensor(rail=rail.rail, driver=board.sensor, covers=behind, address=address))
    return tuple(guessed)


def check_sensors(board: Board, tree: Tree) -> list[str]:
    """Check before a run that the board's sensors are there. A rail that is there and can't be read stops no run.

    Args:
        board: the board.
        tree: the machine's files.

    Returns:
        Sentences for the user: which energies will be unknown and the mend, and which are replayed.

    Raises:
        SensorError: if a rail is not there, or is there twice, or covers units that are emulated.
    """
    notices = []
    sensors = sensors_of(board, tree)
    if board.sensor in DRIVERS and not sensors:
        rails = DRIVERS[board.sensor].find(tree)
        fix = "List what they cover under power.sensors" if rails else "Remove it, or name another driver"
        raise SensorError(
            f"power.sensor is {board.sensor!r}, and {_there(rails)}. The power of the units cannot be told from that. "
            f"{fix}."
        )
    for sensor in sensors:
        if sensor.driver == replay.WORD:
            assert sensor.file is not None
            replay.read_recording(sensor.file)
            notices.append(f"rail {sensor.rail!r} is replayed from {sensor.file}: it is not measured in this run")
            continue
        _check_real(board, sensor)
        rail = _tried(tree, _matching(sensor, tree))
        if rail.why_not:
            mend = f"; {rail.mend}" if rail.mend else ""
            notices.append(f"rail {sensor.rail!r} cannot be read, so its energy will be unknown: {rail.why_not}{mend}")
    return notices


def open_channel(sensor: Sensor, tree: Tree, clock: Clock) -> Channel:
    """Return a sensor's rail, open for reading.

    Raises:
        SensorError: if it is not there.
    """
    if sensor.driver == replay.WORD:
        assert sensor.file is not None
        return replay.Recording(sensor.file, clock)
    return DRIVERS[sensor.driver].open(tree, _matching(sensor, tree))


def mend_of(sensor: Sensor, error: DeviceError) -> str | None:
    """Return what would let a user read a rail on which there was this error; None where nothing is known."""
    return DRIVERS[sensor.driver].denied if isinstance(error, DeniedError) else None


def _tried(tree: Tree, rail: FoundRail) -> FoundRail:
    """Return a rail with the reason if it can't be read."""
    driver = DRIVERS[rail.driver]
    try:
        channel = driver.open(tree, rail)
        try:
            channel.read()
        finally:
            channel.close()
    except DeviceError as error:
        return replace(rail, why_not=str(error), mend=driver.denied if isinstance(error, DeniedError) else None)
    return rail


def _matching(sensor: Sensor, tree: Tree) -> FoundRail:
    """Return the one rail that a sensor of `cluster.yaml` means."""
    rails = DRIVERS[sensor.driver].find(tree)
    matching = [rail for rail in rails if _means(sensor, rail)]
    where = f"power.sensors: rail {sensor.rail!r}"
    if not matching:
        at = f" at {sensor.address}" if sensor.address else ""
        fix = did_you_mean(sensor.rail, [rail.rail for rail in rails])
        raise SensorError(f"{where}: driver {sensor.driver} finds no such rail{at} here: {_there(rails)}.{fix}")
    if len(matching) > 1:
        places = " and ".join(rail.address for rail in matching)
        raise SensorError(f"{where} is there {len(matching)} times, at {places}. Add the address of the one you mean.")
    return matching[0]


def _means(sensor: Sensor, rail: FoundRail) -> bool:
    # A chip without labels is known by its address alone, and its rail has the name that the user gives it.
    if sensor.driver != Ina2xx.word and sensor.rail != rail.rail:
        return False
    if sensor.address is None:
        return True
    return sensor.address == rail.address or sensor.address == f"0x{rail.address[-2:]}"


def _there(rails: list[FoundRail]) -> str:
    names = ", ".join(f"{rail.rail} ({rail.address})" for rail in rails)
    return f"its rails are {names}" if rails else "it finds no rail"


def _check_real(board: Board, sensor: Sensor) -> None:
    """Refuse a rail of this machine for units that are emulated: they draw nothing from it."""
    behind = board.units if sensor.covers == "board" else [board.unit(name) for name in sensor.covers]
    emulated = [unit.name for unit in behind if unit.emulated]
    if emulated:
        raise SensorError(
            f"power.sensors: rail {sensor.rail!r} covers unit {emulated[0]!r}, whose clock is emulated: what a rail of "
            "this machine shows is not its power. Remove the rail, or make the unit a real one (dvfs: fixed)."
        )
