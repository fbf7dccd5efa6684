"""The board of a command: read from a file, packaged under a name, or the default; checked for its back-end."""

from __future__ import annotations

from pathlib import Path

from actors.agent.machine import Machine
from actors.agent.sensors import SensorError, check_sensors
from actors.board_schema import BoardError
from actors.cluster import check_host, default_board_path, load_board, packaged_board
from scheduler.board import Board
from scheduler.errors import InputError
from workloads.mix.errors import choice

BACKENDS = ("ray", "sim")


def open_board(board: Board | str | Path | None, backend: str = "ray") -> Board:
    """Return a board that the back-end can play: any board in simulation, else one that describes this host.

    Args:
        board: a board, the path of its `cluster.yaml`, or the name of a packaged one, such as `odroid-xu3`; None for
            `./cluster.yaml`, else the packaged default.
        backend: `ray` or `sim`.

    Raises:
        InputError: if there is no such board, its file is wrong, or this host can't play it.
    """
    choice("backend", backend, BACKENDS, error=InputError)
    if isinstance(board, Board):
        if backend == "ray":
            _check_here(board)
        return board
    path = Path(board) if board else default_board_path()
    named = not path.suffix and not path.exists()
    found = packaged_board(str(board)) if named else load_board(path)
    if backend == "sim":
        return found
    try:
        _check_here(found)
    except (BoardError, SensorError) as error:
        raise BoardError(f"{path}: {error}") from None
    return found


def _check_here(board: Board) -> None:
    check_host(board)
    check_sensors(board, Machine().tree)
