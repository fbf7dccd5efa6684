"""The journal: how each knob of the board was found, so that it can be given back whatever ends the run.

Before a knob is turned for the first time, one line says what it showed. Before each turn, a record says what it is
about to be set to. Both are in files in memory, which outlive this process; a reboot deletes them, and puts the knobs
back by itself. So whoever comes next, after a kill at any moment, can tell three cases apart:

- the knob shows what it was found at: nothing to do;
- it shows what gearshift set it to last: it is put back;
- it shows anything else: somebody turned it meanwhile. It is left alone, and reported.

The journal does not know what a knob does; `actors.agent.devices.hand_back` puts back what it says. One process writes
it, the one that holds the board's lock.
"""

from __future__ import annotations

import errno
import json
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Protocol, TypeAlias

from actors.agent.devices.journal_files import (
    FOUND,
    PREFIX,
    RECORD_BYTES,
    SET,
    Found,
    JournalRead,
    Kind,
    boot_id,
    check_private,
    cut,
    line_of,
    make_private,
)
from actors.agent.devices.nvml_library import Nvml, open_nvml
from actors.agent.devices.nvpmodel import mode_number
from actors.agent.devices.sysfs import DeviceError, Knob, Tree

_WAIT_S = 1.0
"""Longest wait for a turn that is under way in another thread, before the board is given back regardless."""


class Turnable(Protocol):
    """What can be turned: a file of the kernel's, or what stands beside them in the journal."""

    @property
    def path(self) -> str:
        """What it is called in the journal."""
        ...

    def text(self) -> str:
        """Return what it shows; raises `KnobError` if that cannot be read."""
        ...

    def write(self, value: str | int) -> None:
        """Set it; raises `DeviceError` if it does not take the value."""
        ...


_Turn: TypeAlias = tuple[Turnable, str, Kind]
"""A knob, the value that undoes its turn, and its kind."""


class _Block(threading.local):
    """The block of `Journal.together` that a thread is in.

    Attributes:
        turns: the knobs that were turned in it, each with the value that undoes that; None outside.
    """

    turns: list[_Turn] | None = None


class Journal:
    """The journal of one board, for the process that turns its knobs.

    Args:
        tree: the files of the board.
        state: directory of the journals; made at the first turn of a knob.
        nvml: gives the board's NVML, or None.
        owner: name of whoever holds the board, which a later process of his goes on with; empty for none.

    Attributes:
        tree: the files of the board.
        nvml: gives the board's NVML, or None where it has no NVIDIA driver.
    """

    def __init__(self, tree: Tree, state: Path, nvml: Callable[[], Nvml | None] = open_nvml, owner: str = "") -> None:
        self.tree = tree
        self.nvml = nvml
        self._state = state
        self._owner = owner
        self._found: dict[str, Found] = {}
        self._numbers: dict[str, int] = {}
        self._set: dict[str, tuple[str, ...]] = {}
        self._lock = threading.Lock()
        self._block = _Block()
        self._closed = False
        self._found_file = self._set_file = -1

    def turn(self, knob: Turnable, value: str | int, kind: Kind, found: Found | None = None) -> None:
        """Turn a knob, after it has been noted.

        Args:
            knob: the knob.
            value: what to write.
            kind: its kind.
            found: how it was found, where that takes more than a look; used at its first turn only.

        Raises:
            KnobError: if it cannot be read, or the kernel does not take the value. The knob is as it was.
            NvmlError: if it is a GPU's lock, and NVML does not take the value.
            DeviceError: if the board has been given back, or there is no room for the journal. The knob is as it was.
        """
        with self._lock:
            if self._closed:
                raise DeviceError("the board has been given back, and no knob is turned any more")
            text = str(value)
            if knob.path not in self._found:
                self._note(found or as_shown(knob, kind))
            before = self._set.get(knob.path, ())
            # Killed before the write below, the knob shows what it showed; killed after it, the new value.
            self._record(knob.path, (*before, text))
            knob.write(text)
            self._set[knob.path] = (text,)
        if self._block.turns is not None:
            self._block.turns.append((knob, before[0] if before else self._found[knob.path].give_back, kind))

    def shows(self, knob: Knob, text: str) -> None:
        """Note that a knob that was turned shows something else: a limit is rounded to a clock that there is."""
        with self._lock:
            if text not in self._set.get(knob.path, (text,)):
                self._set[knob.path] = (*self._set[knob.path][:1], text)
                self._record(knob.path, self._set[knob.path])

    def keep(self, found: Found) -> None:
        """Note a knob that will not be turned but may be lost, as a tunable is."""
        with self._lock:
            if found.path not in self._found and not self._closed:
                self._note(found)
        if self._block.turns is not None:
            self._block.turns.append((self.tree.knob(found.path), found.give_back, found.kind))

    @contextmanager
    def together(self) -> Iterator[None]:
        """Have all turns of this thread within the block done, or none.

        After an error they are undone, the last first: of three clocks of 1,200 MHz the third can't be set to 800, so
        all are at 1,200 again. What was kept in the block may be lost by now, and is written back too. What can't be
        undone, as with a clock domain whose CPUs have just gone, waits for the board to be given back.
        """
        assert self._block.turns is None, "a block within a block"
        turns: list[_Turn] = []
        self._block.turns = turns
        try:
            yield
        except DeviceError:
            self._block.turns = None
            for knob, value, kind in reversed(turns):
                with suppress(DeviceError):
                    self.turn(knob, value, kind)
            raise
        finally:
            self._block.turns = None

    def found(self, path: str) -> Found | None:
        """Return how a knob was found; None if it is not in the journal."""
        return self._found.get(path)

    def values(self, path: str) -> tuple[str, ...]:
        """Return the value that a knob was set to last, and the one that it shows for it.

        There are none if it was not turned, or once the board is given back.
        """
        return () if self._closed else self._set.get(path, ())

    @contextmanager
    def closing(self) -> Iterator[None]:
        """Turn no knob any more, from here on, so that the board can be given back."""
        # Whoever gives the board back may have to do so while another thread hangs in the kernel, so it waits only so
        # long. The knob of such a turn is in the journal in any case.
        got = self._lock.acquire(timeout=_WAIT_S)
        self._closed = True
        try:
            yield
        finally:
            if got:
                self._lock.release()

    def _note(self, found: Found) -> None:
        noted = replace(found, mode=mode_number(self.tree))
        with self._telling():
            if self._found_file < 0:
                self._begin()
            _append(self._found_file, asdict(noted))
        self._numbers[found.path] = len(self._numbers)
        self._found[found.path] = noted

    def _record(self, path: str, values: tuple[str, ...]) -> None:
        record = json.dumps(values).encode().ljust(RECORD_BYTES)
        with self._telling():
            os.pwrite(self._set_file, record, self._numbers[path] * RECORD_BYTES)

    def _begin(self) -> None:
        make_private(self._state)
        directory = self._state / f"{PREFIX}{time.monotonic_ns():020}"
        directory.mkdir()
        set_file, found_file = self._open(directory)
        _append(found_file, {"boot_id": boot_id(self.tree), "pid": os.getpid(), "owner": self._owner})
        self._set_file, self._found_file = set_file, found_file

    def _open(self, directory: Path) -> tuple[int, int]:
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
        files = []
        for name, how in ((SET, flags), (FOUND, flags | os.O_APPEND)):
            files.append(os.open(directory / name, how, 0o644))
            weakref.finalize(self, os.close, files[-1])
        return files[0], files[1]

    def go_on(self, journal: JournalRead) -> None:
        """Go on with the journal of a process that died, before the first turn of a knob.

        Args:
            journal: the journal, of which nothing has been put back.
        """
        check_private(self._state)
        cut(journal.directory / FOUND)
        self._set_file, self._found_file = self._open(journal.directory)
        for number, (found, values) in enumerate(journal.entries):
            self._found[found.path], self._numbers[found.path] = found, number
            left = _left_at(self.tree, found, values)
            if left:
                self._set[found.path] = left
            if len(left) < len(values):  # it is known now how the latest turn ended
                self._record(found.path, left)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Say so if the journal can't be written; whatever was to be turned is not turned then."""
        try:
            yield
        except OSError as error:
            raise DeviceError(
                f"the journal in {self._state} can't be written ({error.strerror}), so no knob is turned. Make room "
                f"there, or have it writable"
            ) from None


def _left_at(tree: Tree, found: Found, values: tuple[str, ...]) -> tuple[str, ...]:
    """Return what a knob was set to last, and shows; of a turn that was under way when its process died, as it ended.

    Killed between 1,200 and 800 MHz, the journal has both, and the knob shows one of them. Where it still shows what
    was found, it was not turned yet. Where it shows neither, as a knob of CPUs offline that shows nothing, the latest
    value counts, and the others are known too.
    """
    latest_first = values[::-1]
    if found.kind == "gpu-lock" and values:  # which lock is in force can't be read, so none is taken for granted
        return (*latest_first, "")
    shown = tree.text_or_none(found.path)
    if shown in values:
        return (shown,)
    return () if shown == found.shown else latest_first


def as_shown(knob: Turnable, kind: Kind) -> Found:
    """Return a knob as it is found, to be put back as it shows.

    Raises:
        KnobError: if it cannot be read.
    """
    shown = knob.text()
    return Found(path=knob.path, kind=kind, shown=shown, give_back=shown)


def _append(file: int, content: object) -> None:
    """Write a line to a file that is appended to: all of it or, where there is no room for that, none."""
    line, before = line_of(content), os.fstat(file).st_size
    if os.write(file, line) < len(line):
        os.ftruncate(file, before)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
