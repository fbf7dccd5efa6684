"""The board of a command: read from a file, packaged under a name, or the default; checked for its back-end."""

from __future__ import annotations

from pathlib import Path

from actors.agent.checks import with_known_transitions
from actors.agent.devices.topology import cpus_named, isolated_cpus
from actors.agent.machine import Machine
from actors.agent.sensors import SensorError, check_sensors
from actors.board_schema import BoardError
from actors.cluster import HOST, check_host, default_board_path, find_board, find_sources, host
from actors.control_groups import quota
from scheduler.board import Board
from scheduler.errors import InputError
from workloads.mix.errors import choice

BACKENDS = ("ray", "sim")


def host_notices(board: Board | str | Path | None, machine: Machine | None = None) -> list[str]:
    """Return what a user must know who runs on `host`: the units that are not driven as they could be, and why.

    Args:
        board: what names the board, as `open_board` takes it.
        machine: the machine; None for this one.
    """
    if isinstance(board, Board) or str(board).partition(":")[0] != HOST or Path(HOST).exists():
        return []
    return [f"{remark.unit or HOST}: {remark.text}" for remark in host(machine).remarks if remark.matters]


def cpu_notices(board: Board, machine: Machine) -> list[str]:
    """Return what a user must know of a board's CPUs before a run: isolated ones, and a quota on CPU time.

    Args:
        board: the board.
        machine: the machine that is the board.
    """
    said = []
    for unit in board.units:
        apart = {*unit.cpus}.intersection(isolated_cpus(machine.tree))
        if apart:
            text = f"{unit.name}: networks run on {cpus_named(apart)}, isolated (isolcpus), and all else elsewhere"
            if len(apart) > 1:
                text += ". The kernel spreads no threads over isolated CPUs: several may be no faster than one"
            said.append(text)
    bound = quota(machine.tree)
    usable = len(machine.affinity.granted())
    if bound is not None and bound.cores < usable:
        said.append(
            f"a quota holds this process to {bound.cores:.0%} of one core's time ({bound.path}): once it is used up, "
            "everything stands still for a moment, and requests are late; lift it (--cpus of a container, CPUQuota "
            "of a service)"
        )
    return said


def open_board(board: Board | str | Path | None, backend: str = "ray", machine: Machine | None = None) -> Board:
    """Return a board that the back-end can play: any board in simulation, else one that describes this host.

    Args:
        board: a board; or what names one, as `actors.cluster.find_board` takes it.
        backend: `ray` or `sim`.
        machine: the machine that plays it; None for this one.

    Raises:
        InputError: if there is no such board, its file is wrong, or this host can't play it.
    """
    choice("backend", backend, BACKENDS, error=InputError)
    if isinstance(board, Board):
        found, named = board, ""
    else:
        found, named = find_board(board, machine), f"{board or default_board_path()}: "
    if backend == "ray":
        machine = machine or Machine()
        try:
            check_host(found, machine)
            check_sensors(found, machine.tree)
        except (BoardError, SensorError) as error:
            raise BoardError(f"{named}{error}") from None
        if not isinstance(board, Board):
            found = with_known_transitions(found, find_sources(board, machine), machine)
    return found
