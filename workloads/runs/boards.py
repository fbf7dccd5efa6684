"""The board of a command: read from a file, packaged under a name, or the default; checked for its back-end."""

from __future__ import annotations

from pathlib import Path

from actors.agent.checks import with_known_transitions
from actors.agent.machine import Machine
from actors.agent.sensors import SensorError, check_sensors
from actors.board_schema import BoardError
from actors.cluster import HOST, check_host, default_board_path, find_board, find_sources, host
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
