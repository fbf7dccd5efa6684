"""Probing: a machine is described as a board, from what its kernel tells.

What a probe can know: clusters, clocks, how fast cores are beside each other, rails that are measured, power modes.
What it cannot know is power, and how long a network takes; it says so rather than guess.

The board is what this process can drive. A unit whose clocks it may not set is fixed, with the reason beside it, unless
all clocks are asked for. Everything is read through a tree, so that a dump of another machine is probed like this one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from actors.agent.devices import devfreq
from actors.agent.devices.nvpmodel import power_mode
from actors.agent.devices.sysfs import DeviceError, Tree
from actors.agent.devices.topology import clusters, cpus_named, isolated_cpus, offline_cpus, usable_cpus
from actors.agent.sensors import covers, found
from actors.board_commands.identity import board_name
from actors.board_commands.probe_cpus import cpu_unit
from actors.board_commands.probe_gpus import CudaDevice, cuda_here, gpu_units
from actors.board_commands.probe_modes import board_modes
from actors.board_commands.probed import Probed, Remark, joint_sources
from scheduler.board import Board, BoardUnit
from scheduler.sensor import Sensor

_NO_POWER = "unknown: gearshift probe can't tell power; gearshift calibrate measures it where there is a sensor"


def probe_host(tree: Tree, *, all_clocks: bool = False) -> Probed:
    """Describe this machine as a board, by its files; see `probe`."""
    return probe(tree, cuda=cuda_here(), all_clocks=all_clocks)


def probe(tree: Tree, *, cuda: Sequence[CudaDevice] | None = None, all_clocks: bool = False) -> Probed:
    """Describe a machine as a board.

    Args:
        tree: the machine's files.
        cuda: the CUDA devices that torch finds here; None where torch can't be asked, as with a dump.
        all_clocks: list clocks also where this process may not set them.

    Raises:
        DeviceError: if the machine does not even say which CPUs it has.
    """
    there = clusters(tree)
    if not there:
        raise DeviceError(
            "/sys/devices/system/cpu/online lists no CPU that may be used; is this the root of a machine?"
        )
    cpus = [cpu_unit(tree, cluster, all_clocks=all_clocks) for cluster in there]
    host = max(cpus, key=lambda one: one.unit.speed).unit.name
    gpus, left_out = gpu_units(tree, host, cuda, all_clocks=all_clocks)
    units = [one.unit for one in (*cpus, *gpus)]
    sensors, on_sensors = _sensors(tree, units)
    domains = {cluster.name: cluster.policies for cluster in there} | {"gpu": tuple(devfreq.gpus(tree))}
    settable = [unit for unit in units if unit.settable]
    modes = board_modes(tree, units, {unit.name: domains[unit.name] for unit in settable})
    sources = joint_sources([*cpus, *gpus])
    if sensors:
        sources["sensors"] = "inferred: what a rail covers is told by its name"
    if modes:
        sources["modes"] = "published: /etc/nvpmodel.conf of the machine"
    away = sorted({*offline_cpus(tree)} - {cpu for cluster in there for cpu in cluster.offline})
    remarks = [*left_out, *on_sensors, *(remark for one in (*cpus, *gpus) for remark in one.remarks)]
    if away:
        remarks.append(Remark(text=f"without {cpus_named(away)}, offline now", matters=True))
    apart = sorted({*isolated_cpus(tree)} - {*usable_cpus(tree), *away})
    if apart:
        text = f"without {cpus_named(apart)}, isolated (isolcpus); a unit of your own board file may have them"
        remarks.append(Remark(text=text, matters=True))
    mode = power_mode(tree)
    if mode is not None:
        remarks.append(Remark(text=f"probed in mode {mode.name} ({mode.number})"))
    board = Board(
        name=board_name(tree),
        units=tuple(units),
        base_w=None,
        sensor="none",
        sensors=sensors,
        modes=modes,
        power_source=_NO_POWER,
    )
    return Probed(board=board, remarks=tuple(remarks), sources=sources)


def _sensors(tree: Tree, units: Sequence[BoardUnit]) -> tuple[tuple[Sensor, ...], list[Remark]]:
    """Return the rails of a machine. What a rail covers is guessed from its name, and each unit is covered once."""
    remarks: list[Remark] = []
    sensors: list[Sensor] = []
    covered: dict[str, str] = {}
    unread: dict[str, list[str]] = {}
    for rail in found(tree):
        if rail.rail in [sensor.rail for sensor in sensors]:
            text = f"a second rail {rail.rail!r} is left out ({rail.driver} at {rail.address})"
            remarks.append(Remark(text=text))
            continue
        behind = covers(rail.feeds, units)
        names = ("the board",) if behind == "board" else behind
        again = [name for name in names if name in covered]
        if again:
            text = f"rail {rail.rail!r} covers {', '.join(again)} again, after {covered[again[0]]!r}: it is left out"
            remarks.append(Remark(text=text))
            continue
        covered |= dict.fromkeys(names, rail.rail)
        address = rail.address if rail.driver == "ina2xx" else None
        sensors.append(Sensor(rail=rail.rail, driver=rail.driver, covers=behind, address=address))
        if rail.why_not:
            unread.setdefault(re.sub(r"^/\S+: ", "", rail.why_not), []).append(rail.rail)
    for reason, rails in unread.items():
        remarks.append(Remark(text=f"this process can't read {', '.join(rails)} ({reason}): see gearshift doctor"))
    if not sensors:
        remarks.append(Remark(text="no power sensor: energy is unknown"))
    return tuple(sensors), remarks
