"""The files of a journal: what they say of each knob, and who may have written them.

A journal is a directory of two files. `found` has a line for each knob as it was found, and `set` a record of fixed
length for each, with the values that it was set to. `actors.agent.devices.journal` writes them.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from actors.agent.devices.sysfs import DeviceError, Tree
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

PREFIX = "journal-"
FOUND, SET = "found", "set"
RECORD_BYTES = 256
_BOOT_ID = "proc/sys/kernel/random/boot_id"


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


@dataclass(frozen=True, kw_only=True, slots=True)
class JournalRead:
    """What a journal says.

    Attributes:
        directory: its directory.
        pid: number of the process that wrote it; None where it does not say.
        owner: whose it is, as `Journal` was told; empty for nobody's.
        same_boot: False if it is of another boot, whose knobs the reboot has put back.
        whole: True if none of its knobs has been put back yet.
        entries: each knob that is not yet put back, as it was found, with the values that it may have been left at.
    """

    directory: Path
    pid: int | None
    owner: str
    same_boot: bool
    whole: bool
    entries: tuple[tuple[Found, tuple[str, ...]], ...]

    def done(self, paths: Collection[str]) -> None:
        """Note that knobs have been put back; the journal is deleted once all have."""
        if {found.path for found, _ in self.entries} <= {*paths}:
            # The list of knobs goes first: without it the rest means nothing.
            (self.directory / FOUND).unlink(missing_ok=True)
            shutil.rmtree(self.directory, ignore_errors=True)
            return
        cut(self.directory / FOUND)
        with (self.directory / FOUND).open("ab", buffering=0) as file:
            file.write(line_of({"done": sorted(paths)}))


def read_journals(tree: Tree, state: Path) -> list[JournalRead]:
    """Return the journals in a directory, the latest first, which is the order to undo them in.

    There is more than one if a run before could not put back a knob, such as one of a clock domain without CPUs.

    Raises:
        OSError: if one may not be read.
        DeviceError: if one is something else.
    """
    directories = sorted(state.glob(f"{PREFIX}*"), reverse=True) if state.is_dir() else []
    return [_read(tree, directory) for directory in directories]


def _read(tree: Tree, directory: Path) -> JournalRead:
    try:
        # A line that was cut off by a kill is of a knob that was not turned.
        lines = [line for line in (directory / FOUND).read_bytes().split(b"\n")[:-1] if line]
        records = (directory / SET).read_bytes()
    except FileNotFoundError:
        lines = []
    if not lines:  # its writer was killed when it began
        return JournalRead(directory=directory, pid=None, owner="", same_boot=True, whole=False, entries=())
    entries: dict[str, tuple[Found, tuple[str, ...]]] = {}
    try:
        header, *rest = (json.loads(line) for line in lines)
        for number, line in enumerate(rest):
            if "done" in line:
                for path in line["done"]:
                    entries.pop(path, None)
            else:
                record = records[number * RECORD_BYTES : (number + 1) * RECORD_BYTES].strip(b"\0 ")
                entries[line["path"]] = (Found(**line), tuple(json.loads(record)) if record else ())
        return JournalRead(
            directory=directory,
            pid=int(header["pid"]),
            owner=str(header.get("owner", "")),
            # A boot that is not known, then or now, is no other boot: what was turned then may still be.
            same_boot=header["boot_id"] == (now := boot_id(tree)) or not (header["boot_id"] and now),
            whole=len(entries) == len(rest),
            entries=tuple(entries.values()),
        )
    except BROKEN as error:
        raise DeviceError(f"{directory} is no journal of gearshift ({error}); delete it") from None


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


def cut(path: Path) -> None:
    """Take off a last line that its writer did not come to finish: it would spoil the one that is put behind it."""
    with path.open("r+b", buffering=0) as file:
        file.truncate(file.read().rfind(b"\n") + 1)


def line_of(content: object) -> bytes:
    """Return a line of `found`."""
    return json.dumps(content).encode() + b"\n"
