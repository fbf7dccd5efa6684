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
import shutil
import threading
import time
import weakref
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from actors.agent.devices.nvml_library import Nvml, open_nvml
from actors.agent.devices.nvpmodel import mode_number
from actors.agent.devices.sysfs import DeviceError, Knob, Tree
from scheduler.errors import BROKEN

Kind = Literal["online", "limit", "governor", "speed", "tunable", "gpu-lock"]
"""Kinds of knobs.

- `online`: a CPU's switch.
- `limit`: a lowest or highest clock. It shows what all who ask agree to, so under a cap it shows the cap.
- `governor`: which rule has the clock.
- `speed`: the clock under the governor `userspace`.
- `tunable`: a figure of a governor, which is lost when the last clock domain leaves that governor.
- `gpu-lock`: the lock of a GPU's clocks; no file, but a call of NVML's, and it can't be read.
"""

_BOOT_ID = "proc/sys/kernel/random/boot_id"
_PREFIX = "journal-"
_FOUND, _SET = "found", "set"
_RECORD_BYTES = 256
_WAIT_S = 1.0
"""Longest wait for a turn that is under way in another thread, before the board is given back regardless."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """One knob as it was found.

    Attributes:
        path: its file, from the root of the tree; of a GPU's lock, `nvml/` and its UUID.
        kind: its kind.
        shown: its content before gearshift turned it; nothing where it can't be read.
        give_back: the value to put back. It is not `shown` where that was a cap of the kernel's: to write a cap back
            would keep the board down after the cap is lifted.
        note: words for the user where `give_back` is not `shown`.
        mode: number of the board's power mode at that time; None where it has none. The tool that sets a mode turns
            the same knobs.
    """

    path: str
    kind: Kind
    shown: str
    give_back: str
    note: str = ""
    mode: int | None = None


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

    Attributes:
        tree: the files of the board.
        nvml: gives the board's NVML, or None where it has no NVIDIA driver.
    """

    def __init__(self, tree: Tree, state: Path, nvml: Callable[[], Nvml | None] = open_nvml) -> None:
        self.tree = tree
        self.nvml = nvml
        self._state = state
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
        """Return the value that a knob was set to last, and the one that it shows for it; none if it was not turned."""
        return self._set.get(path, ())

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
        record = json.dumps(values).encode().ljust(_RECORD_BYTES)
        with self._telling():
            os.pwrite(self._set_file, record, self._numbers[path] * _RECORD_BYTES)

    def _begin(self) -> None:
        make_private(self._state)
        directory = self._state / f"{_PREFIX}{time.monotonic_ns():020}"
        directory.mkdir()
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
        files = []
        for name, how in ((_SET, flags), (_FOUND, flags | os.O_APPEND)):
            files.append(os.open(directory / name, how, 0o644))
            weakref.finalize(self, os.close, files[-1])
        _append(files[1], {"boot_id": boot_id(self.tree), "pid": os.getpid()})
        self._set_file, self._found_file = files

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


@dataclass(frozen=True, kw_only=True, slots=True)
class JournalRead:
    """What a journal says.

    Attributes:
        directory: its directory.
        pid: number of the process that wrote it; None where it does not say.
        same_boot: False if it is of another boot, whose knobs the reboot has put back.
        entries: each knob that is not yet put back, as it was found, with the values that it may have been left at.
    """

    directory: Path
    pid: int | None
    same_boot: bool
    entries: tuple[tuple[Found, tuple[str, ...]], ...]

    def done(self, paths: Collection[str]) -> None:
        """Note that knobs have been put back; the journal is deleted once all have."""
        if {found.path for found, _ in self.entries} <= {*paths}:
            # The list of knobs goes first: without it the rest means nothing.
            (self.directory / _FOUND).unlink(missing_ok=True)
            shutil.rmtree(self.directory, ignore_errors=True)
            return
        with (self.directory / _FOUND).open("r+b", buffering=0) as file:
            # A line that its writer did not come to finish would spoil the one that is put behind it.
            file.truncate(file.read().rfind(b"\n") + 1)
            file.seek(0, os.SEEK_END)
            file.write(_line({"done": sorted(paths)}))


def read_journals(tree: Tree, state: Path) -> list[JournalRead]:
    """Return the journals in a directory, the latest first, which is the order to undo them in.

    There is more than one if a run before could not put back a knob, such as one of a clock domain without CPUs.

    Raises:
        OSError: if one may not be read.
        DeviceError: if one is something else.
    """
    directories = sorted(state.glob(f"{_PREFIX}*"), reverse=True) if state.is_dir() else []
    return [_read(tree, directory) for directory in directories]


def _read(tree: Tree, directory: Path) -> JournalRead:
    try:
        # A line that was cut off by a kill is of a knob that was not turned.
        lines = [line for line in (directory / _FOUND).read_bytes().split(b"\n")[:-1] if line]
        records = (directory / _SET).read_bytes()
    except FileNotFoundError:
        lines = []
    if not lines:  # its writer was killed when it began
        return JournalRead(directory=directory, pid=None, same_boot=True, entries=())
    entries: dict[str, tuple[Found, tuple[str, ...]]] = {}
    try:
        header, *rest = (json.loads(line) for line in lines)
        for number, line in enumerate(rest):
            if "done" in line:
                for path in line["done"]:
                    entries.pop(path, None)
            else:
                record = records[number * _RECORD_BYTES : (number + 1) * _RECORD_BYTES].strip(b"\0 ")
                entries[line["path"]] = (Found(**line), tuple(json.loads(record)) if record else ())
        return JournalRead(
            directory=directory,
            pid=int(header["pid"]),
            # A boot that is not known, then or now, is no other boot: what was turned then may still be.
            same_boot=header["boot_id"] == (now := boot_id(tree)) or not (header["boot_id"] and now),
            entries=tuple(entries.values()),
        )
    except BROKEN as error:
        raise DeviceError(f"{directory} is no journal of gearshift ({error}); delete it") from None


def as_shown(knob: Turnable, kind: Kind) -> Found:
    """Return a knob as it is found, to be put back as it shows.

    Raises:
        KnobError: if it cannot be read.
    """
    shown = knob.text()
    return Found(path=knob.path, kind=kind, shown=shown, give_back=shown)


def boot_id(tree: Tree) -> str:
    """Return the number of this boot; nothing where the kernel does not say."""
    return tree.text_or_none(_BOOT_ID) or ""


def make_private(directory: Path) -> None:
    """Make a directory that only this user writes to.

    Raises:
        DeviceError: if it is not; see `check_private`.
    """
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    check_private(directory)


def check_private(directory: Path) -> None:
    """Check that a directory is one that only this user writes to.

    Raises:
        DeviceError: if another user has made it, who could then have any file written by whoever trusts it.
    """
    status = os.lstat(directory)
    if status.st_uid != os.geteuid() or status.st_mode & 0o022 or directory.is_symlink():
        raise DeviceError(f"{directory} belongs to another user, or others may write to it; remove it")


def check_state(directory: Path) -> None:
    """Check that a journal can be begun in a directory, which need not be there yet.

    Raises:
        DeviceError: if not.
    """
    there = next(place for place in (directory, *directory.parents) if os.path.lexists(place))
    if there == directory:
        check_private(directory)
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise DeviceError(f"this process may not write to {there}, where the journal of what was found has to be kept")


def _append(file: int, content: object) -> None:
    """Write a line to a file that is appended to: all of it or, where there is no room for that, none."""
    line, before = _line(content), os.fstat(file).st_size
    if os.write(file, line) < len(line):
        os.ftruncate(file, before)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _line(content: object) -> bytes:
    return json.dumps(content).encode() + b"\n"
