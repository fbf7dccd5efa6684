"""The hold of a process on a board: while it lasts, the process alone turns the board's knobs.

A hold is the board's lock and a journal. It begins by giving back what a dead run has left, and ends by giving the
board back as it was found then. A process that takes the place of one of its own run goes on with that one's journal:
the board is as the run wants it, and in the end it is given back as the first of them found it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from actors.agent.devices import REAL_CLOCKS, open_clock
from actors.agent.devices.hand_back import HandedBack, hand_back
from actors.agent.devices.journal import Journal
from actors.agent.devices.journal_files import JournalRead, read_journals
from actors.agent.devices.lock import lock_board, owner_of_board
from actors.agent.devices.real import RealClock
from actors.agent.devices.sysfs import DeviceError
from actors.agent.machine import Machine
from actors.board_schema import BoardError
from scheduler.board import Board, BoardUnit

_DYING_S = 2.0
"""Longest wait on the wall for the lock of a process that was killed."""


class BoardBusyError(DeviceError):
    """Another run turns the knobs of this board."""


class Hold:
    """A hold on the board of a machine.

    Args:
        machine: the machine.
        owner: name of the run, if another process may go on with the hold when this one dies; no other run ever has it.

    Attributes:
        journal: the journal that every turn of a knob goes through.
        recovered: what came of giving back what dead runs had left.

    Raises:
        BoardBusyError: if another process has a hold.
        DeviceError: if the machine has no lock or journal to be had.
        OSError: if a journal of a dead run may not be read.
    """

    def __init__(self, machine: Machine, owner: str = "") -> None:
        self._machine = machine
        self._unlock = unlock = _lock_after(machine, owner)
        self._given_back: HandedBack | None = None
        try:
            own = _journal_of(machine, owner)
            self.recovered = hand_back(machine.tree, machine.state, machine.nvml, but=own)
            self.journal = Journal(machine.tree, machine.state, machine.nvml, owner)
            if own is not None:
                self.journal.go_on(own)
        except BaseException:
            unlock()
            raise

    def give_back(self) -> HandedBack:
        """Give the board back, and end the hold. A second call returns what came of the first."""
        # No lock of ours is waited for: it may have to be done while another thread hangs in the kernel.
        with self.journal.closing():
            if self._given_back is None:
                self._given_back = hand_back(self._machine.tree, self._machine.state, self._machine.nvml)
                self._unlock()
        return self._given_back


def _lock_after(machine: Machine, owner: str) -> Callable[[], None]:
    """Lock a board, perhaps in place of a process of the same run, which may still be on its way out."""
    until_s = time.monotonic() + (_DYING_S if _journal_of(machine, owner) else 0.0)
    while True:
        try:
            return lock_or_refuse(machine)
        except BoardBusyError:
            if time.monotonic() >= until_s:
                raise
            time.sleep(0.02)


def _journal_of(machine: Machine, owner: str) -> JournalRead | None:
    """Return the journal of a dead process of the same run.

    It is none where somebody has begun to give it back meanwhile: then the board is as found, but for what he could
    not put back.
    """
    journals = read_journals(machine.tree, machine.state) if owner else []
    return next((one for one in journals if one.owner == owner and one.same_boot and one.whole), None)


def check_free(machine: Machine) -> None:
    """Check that no other process has a hold on the board.

    Raises:
        BoardBusyError: if one has.
        DeviceError: if the machine has no lock.
    """
    lock_or_refuse(machine)()


def lock_or_refuse(machine: Machine) -> Callable[[], None]:
    """Lock a board, and return the call that unlocks it; see `check_free` for its errors."""
    unlock = lock_board(machine.tree)
    if unlock is None:
        pid = owner_of_board(machine.tree)
        owner = "" if pid is None else f" (process {pid})"
        raise BoardBusyError(f"another run is using this board{owner}; wait for it, or end it")
    return unlock


def recover(machine: Machine) -> HandedBack | None:
    """Give the board back if a run that is dead has left it turned.

    Returns:
        What came of it; None where another process has a hold on the board, and will give it back itself.

    Raises:
        OSError: if the journal may not be read.
        DeviceError: if it is no journal.
    """
    if not read_journals(machine.tree, machine.state):
        return HandedBack()
    try:
        hold = Hold(machine)
    except BoardBusyError:
        return None
    hold.give_back()
    return hold.recovered


def real_units(board: Board) -> list[BoardUnit]:
    """Return the units of a board whose clocks are real."""
    return [unit for unit in board.units if unit.dvfs in REAL_CLOCKS]


@dataclass(frozen=True, kw_only=True, slots=True)
class TopClocks:
    """The real clocks of a board while they are kept at their highest.

    Attributes:
        mhz: by unit with a real clock, the clock that was granted; a power mode may leave less than the highest.
        knobs: by unit, the knobs of its clock.
    """

    mhz: Mapping[str, float]
    knobs: Mapping[str, RealClock]


@contextmanager
def at_top_clocks(
    board: Board, machine: Machine, on_faults: Callable[[list[str]], None] = lambda faults: None
) -> Iterator[TopClocks]:
    """Keep all real clocks of a board at their highest within the block, as profiles want them.

    Args:
        board: the board.
        machine: the machine that it is.
        on_faults: told of knobs that could not be given back at the end, in words.

    Yields:
        The clocks that were granted.

    Raises:
        BoardError: if another process has a hold on the board, or a clock can't be set.
    """
    units = real_units(board)
    if not units:
        yield TopClocks(mhz={}, knobs={})
        return
    with _told_of(board):
        hold = Hold(machine)
    try:
        with _told_of(board):
            knobs = {unit.name: open_clock(board, unit, hold.journal) for unit in units}
            granted = {unit.name: knobs[unit.name].set_clock(unit.mhz[-1]) for unit in units}
        yield TopClocks(mhz=granted, knobs=knobs)
    finally:
        on_faults(hold.give_back().faults())


@contextmanager
def _told_of(board: Board) -> Iterator[None]:
    """Turn what a device can't do into a mistake in the board's description."""
    try:
        yield
    except (DeviceError, OSError) as error:
        raise BoardError(f"Board {board.name!r}, {error}") from None
