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
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from actors.agent.devices.nvml_library import Nvml, open_nvml
from actors.agent.devices.nvpmodel import mode_number
from actors.agent.devices.sysfs import DeviceError, Knob, Tree

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
            # Killed before the write below, the knob shows what it showed; killed after it, the new value.
            self._record(knob.path, (*self._set.get(knob.path, ()), text))
            knob.write(text)
            self._set[knob.path] = (text,)

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
        with self._writing():
            if self._found_file < 0:
                self._begin()
            _append(self._found_file, asdict(noted))
        self._numbers[found.path] = len(self._numbers)
        self._found[found.path] = noted

    def _record(self, path: str, values: tuple[str, ...]) -> None:
        record = json.dumps(values).encode().ljust(_RECORD_BYTES)
        with self._writing():
            os.pwrite(self._set_file, record, self._numbers[path] * _RECORD_BYTES)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DeviceError(
                f"the journal of turned knobs can't be kept in {self._state}: {error.strerror}. Without it no knob is "
                f"turned; make room there, or let this user write to it"
            ) from None

    def _begin(self) -> None:
        make_private(self._state)
        directory = self._state / f"{_PREFIX}{time.monotonic_ns():020}"
        directory.mkdir()
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
        self._set_file = os.open(directory / _SET, flags, 0o644)
        found_file = os.open(directory / _FOUND, flags | os.O_APPEND, 0o644)
        for file in (self._set_file, found_file):
            weakref.finalize(self, os.close, file)
        _append(found_file, {"boot_id": boot_id(self.tree), "pid": os.getpid()})
        self._found_file = found_file  # without its first line it would be no journal


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
        file = os.open(self.directory / _FOUND, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            _append(file, {"done": sorted(paths)})
        finally:
            os.close(file)


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
        lines = [line for line in (directory / _FOUND).read_bytes().split(b"\n")[:-1] if line]
        records = (directory / _SET).read_bytes()
    except FileNotFoundError:
        lines = []
    if not lines:  # its writer was killed when it began
        return JournalRead(directory=directory, pid=None, same_boot=True, entries=())
    entries: dict[str, tuple[Found, tuple[str, ...]]] = {}
    try:
        header, *rest = json.loads(lines[0]), *_whole(lines[1:])
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
            same_boot=header["boot_id"] == boot_id(tree),
            entries=tuple(entries.values()),
        )
    except (ValueError, TypeError, KeyError) as error:
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
        DeviceError: if another user has made it, who could then have any knob set.
    """
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    status = os.lstat(directory)
    if status.st_uid != os.geteuid() or status.st_mode & 0o022 or directory.is_symlink():
        raise DeviceError(f"{directory} belongs to another user, or others may write to it; remove it")


def _append(file: int, content: object) -> None:
    """Write a line at the end of a file; after half a line, which a kill or a lack of room has left, on one of its own.

    Raises:
        OSError: if not all of it could be written.
    """
    line = b"\n" + json.dumps(content).encode() + b"\n"
    if os.write(file, line) < len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _whole(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Yield what the lines say that are whole: half a line is of a knob that was not turned."""
    for line in lines:
        with suppress(ValueError):
            yield json.loads(line)
