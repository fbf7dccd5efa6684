"""The board of a command: from a file, by the name of a packaged one, or the default; checked for its back-end."""

from __future__ import annotations

from pathlib import Path

from actors.cluster import BoardError, check_host, default_board_path, load_board, packaged_board
from scheduler.board import Board
from scheduler.errors import InputError
from workloads.mix.errors import choice

BACKENDS = ("ray", "sim")


def open_board(board: Board | str | Path | None, backend: str = "ray") -> Board:
    """A board that the back-end can play: any in simulation, else one that this host is.

    Args:
        board: a board, the path of its `cluster.yaml`, or the name of one that comes with gearshift; None for
            `./cluster.yaml` or the packaged one.
        backend: `ray` or `sim`.

    Raises:
        ValueError: if there is no such board, it is wrong, or this host can't play it.
    """
    choice("backend", backend, BACKENDS, error=InputError)
    if isinstance(board, Board):
        if backend == "ray":
            check_host(board)
        return board
    path = Path(board) if board else default_board_path()
    named = not path.suffix and not path.exists()
    found = packaged_board(str(board)) if named else load_board(path)
    if backend == "sim":
        return found
    try:
        check_host(found)
    except BoardError as error:
        raise BoardError(f"{path}: {error}") from None
    return found
