"""`cluster.yaml`: reads and checks the description of a board.

The file describes one board and its units; it is not the file of Ray's cluster launcher, and Ray never reads it.

`load_board` accepts every board that is described correctly, since the simulator runs any. `check_host` also checks
that this machine is that board and can drive it. Every error is a `BoardError` that names the key and the fix.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from actors.affinity import why_not
from actors.agent.checks import check_clocks
from actors.agent.devices import DeviceError
from actors.agent.devices.cuda import cuda_devices, why_none
from actors.agent.machine import Machine
from actors.board_commands.probe import probe_host
from actors.board_commands.probed import Probed
from actors.board_file import read_board, read_sources
from actors.board_schema import BoardError
from scheduler.board import Board, BoardUnit
from scheduler.errors import did_you_mean, shown

HOST = "host"
"""Name of the board that is this machine, probed at the time."""

_PACKAGED = Path(__file__).parent / "boards"

_NOT_EMULATED = {"transition_us": 0.0, "idle_states": (), "thermal": None}
"""Keys that only the simulator obeys, with the values that an emulated unit has."""


def default_board_path() -> Path:
    """Return `./cluster.yaml` if it exists, else the packaged board `two-core-host`."""
    here = Path("cluster.yaml")
    return here if here.exists() else _PACKAGED / "two-core-host.yaml"


def find_board(named: str | os.PathLike[str] | None = None, machine: Machine | None = None) -> Board:
    """Return the board that a user names.

    Args:
        named: path of a board's file, name of a packaged board, such as `odroid-xu3`, or `host` for this machine; of
            each also one of its modes, as in `jetson-xavier-nx:MODE_15W_2CORE` or `jetson-xavier-nx:0`. None for
            `./cluster.yaml`, else the packaged default.
        machine: the machine that `host` means; None for this one.

    Raises:
        InputError: if there is no such board or mode, or its file is wrong.
    """
    file, mode = _file_and_mode(named)
    if file is not None:
        return load_board(file, mode)
    board = host(machine).board
    return board if mode is None else board.in_mode(mode)


def find_sources(named: str | os.PathLike[str] | None = None, machine: Machine | None = None) -> Mapping[str, str]:
    """Return the sources of the figures of a board that a user names, by key of its file; see `find_board`."""
    file, _ = _file_and_mode(named)
    return host(machine).sources if file is None else read_sources(os.fspath(file))


def _file_and_mode(named: str | os.PathLike[str] | None) -> tuple[str | Path | None, str | None]:
    """Return the file of the board that a user names, None for this machine, and the mode that he names."""
    if not named:
        return default_board_path(), None
    text, mode = os.fspath(named), None
    # Unlike that of `Path`, this `exists` takes names that no file can have.
    if not os.path.exists(text) and ":" in text:
        text, _, mode = text.rpartition(":")
    if text == HOST and not os.path.exists(text):
        return None, mode
    return text if Path(text).suffix or os.path.exists(text) else _packaged_file(text), mode


def host(machine: Machine | None = None) -> Probed:
    """Return a machine, this one unless told otherwise, as it is now and as this process can drive it.

    Raises:
        BoardError: if its kernel does not tell enough.
    """
    try:
        return probe_host((machine or Machine()).tree)
    except DeviceError as error:
        raise BoardError(f"Board {HOST!r}: {error}") from None


def packaged_board(name: str, mode: str | None = None) -> Board:
    """Return a board that comes with gearshift.

    Args:
        name: its name.
        mode: name or number of the mode that it is in; None for the one that it comes in, or else for none.

    Raises:
        BoardError: if there is no board of that name.
        InputError: if it has no such mode.
    """
    return load_board(_packaged_file(name), mode)


def _packaged_file(name: str) -> Path:
    names = sorted(path.stem for path in _PACKAGED.glob("*.yaml"))
    if name not in names:
        raise BoardError(
            f"Board {shown(name)} is not packaged.{did_you_mean(name, names)} There are: {', '.join(names)}. "
            f"For a board of your own, give the path of its YAML file; for this machine, {HOST}."
        )
    return _PACKAGED / f"{name}.yaml"


def load_board(path: str | os.PathLike[str], mode: str | None = None) -> Board:
    """Read a board from a file.

    Args:
        path: YAML file of the schema in `docs/boards.md`.
        mode: name or number of the mode that the board is in; None for the one that the file says, or else for none.

    Raises:
        BoardError: if the file cannot be read, or a value is wrong; it names file, key, value and fix.
        InputError: if the board has no such mode.
    """
    return read_board(os.fspath(path), mode)


def check_host(board: Board, machine: Machine | None = None) -> None:
    """Check that a machine is that board: this process may use its CPUs and GPUs, and can set its clocks.

    Args:
        board: the board.
        machine: the machine; None for this one.

    Raises:
        BoardError: if it is not; it names the unit and the fix.
    """
    machine = machine or Machine()
    for unit in board.units:
        where = f"Board {board.name!r}, unit {unit.name!r}"
        elsewhere = "simulate it with --backend sim"
        _check_emulated(unit, where, elsewhere)
        reason = why_not(unit.cpus, machine.affinity, machine.tree)
        if reason is not None:
            raise BoardError(f"{where}: {reason}. Or use some of {sorted(machine.affinity.get(0))}, or {elsewhere}.")
    check_gpus(board)
    try:
        check_clocks(board, machine)
    except DeviceError as error:
        raise BoardError(
            f"Board {board.name!r}, {str(error).rstrip('.')}; or simulate it with --backend sim."
        ) from None
    domains = [unit.domain for unit in board.units if unit.domain is not None]
    for domain in domains:
        if domains.count(domain) > 1:
            raise BoardError(
                f"Board {board.name!r}: units that share a clock (domain {domain!r}) cannot be driven here yet; "
                f"describe them as one unit, or simulate the board with --backend sim."
            )


def _check_emulated(unit: BoardUnit, where: str, elsewhere: str) -> None:
    """Refuse keys that emulation ignores: a run would differ from the described board without a word."""
    for key, emulated in _NOT_EMULATED.items():
        if unit.emulated and getattr(unit, key) != emulated:
            raise BoardError(
                f"{where}: {key} is simulated only, and not part of emulation. Leave it out, or {elsewhere}."
            )


def check_gpus(board: Board) -> None:
    """Check that this machine has a GPU for each GPU unit.

    Raises:
        BoardError: if it has not; it names the first unit without one and the fix.
    """
    gpus = [unit.name for unit in board.units if unit.kind == "gpu"]
    found = cuda_devices() if gpus else ()
    if len(found) < len(gpus):
        here = f"torch finds only {len(found)} here ({', '.join(found)})" if found else why_none()
        raise BoardError(
            f"Board {board.name!r}, unit {gpus[len(found)]!r}: kind 'gpu' needs a CUDA device of its own, and {here}. "
            "Else remove the unit, or simulate it with --backend sim."
        )
