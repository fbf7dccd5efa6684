"""A board's knobs under faults: the n-th use of a file of the kernel's, or of the journal, fails or is the last.

The board is given back as it was found, or what could not be is said and is given back by the next start.
"""

from __future__ import annotations

import errno
import os
import random
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from actors.agent.devices.sysfs import DeviceError, File, Tree
from actors.agent.hold import Hold, recover
from actors.agent.machine import Machine
from faults.points import Killed, Points, Subject, kind
from faults.system import under_faults
from helpers import board_uses
from helpers.board_bed import BoardBed, fake_bed
from helpers.fake_kernel import boards

_READ, _WRITE, _OPEN = "read a knob", "write a knob", "open a knob"
_JOURNAL = ("write", "create", "make", "truncate", "remove")
_VANISHES = "a knob vanishes"
_KINDS = (
    *(kind(f"{name} of a knob", _READ, _WRITE) for name in ("EIO", "EBUSY", "EINVAL", "ENODEV", "EINTR", "ETIMEDOUT")),
    *(kind(f"{name} of a knob", _OPEN) for name in ("EACCES", "EROFS", "EMFILE")),
    kind(_VANISHES, _READ, _WRITE, _OPEN),
    kind("ENOSPC", *_JOURNAL),
    kind("ENOSPC from then on", *_JOURNAL, lasts=True),
    kind("EIO", *_JOURNAL, "read"),
    kind("short write", "write"),
    kind("killed", _READ, _WRITE, *_JOURNAL),
)
_BOARDS = ("bed-arm64", "xavier-nx-l4t32", "xavier-nx-l4t35", "odroid-xu3")


class _FaultyTree(Tree):
    """The files of a board, one use of which fails; what is locked is free once its process has ended."""

    def __init__(self, tree: Tree, points: Points) -> None:
        super().__init__()
        self._tree, self.points = tree, points
        self._gone: str | None = None
        self.dead = False
        self._unlocks: list[Any] = []
        for name in ("names", "exists", "real", "may", "mode", "lock_file", "pause"):
            setattr(self, name, getattr(tree, name))

    def at(self, operation: str, path: str) -> None:
        """Pass an operation on a file, or fail at it."""
        if self.dead:
            raise Killed
        if path == self._gone:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        if not self.points.strikes(operation):
            return
        if self.points.kind.name == "killed":
            self.dead = True
            raise Killed
        if self.points.kind.name == _VANISHES:
            self._gone = path
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        raise self.points.kind.raised()

    def open(self, path: str, *, writing: bool = False) -> File:
        self.at(_OPEN, path)
        return _FaultyFile(self, path, self._tree.open(path, writing=writing))

    def lock(self, path: str) -> Any:
        unlock = self._tree.lock(path)
        if unlock is not None:
            self._unlocks.append(unlock)
        return unlock

    def bury(self) -> None:
        """Free the locks of the process."""
        while self._unlocks:
            self._unlocks.pop()()


class _FaultyFile:
    def __init__(self, tree: _FaultyTree, path: str, file: File) -> None:
        self._tree, self._path, self._file = tree, path, file

    def read(self) -> bytes:
        self._tree.at(_READ, self._path)
        return self._file.read()

    def write(self, content: bytes) -> None:
        self._tree.at(_WRITE, self._path)
        self._file.write(content)

    def close(self) -> None:
        self._file.close()


def _run(points: Points, directory: Path, rng: random.Random) -> None:
    name = rng.choice(_BOARDS)
    bed = fake_bed(boards.ALL[name](), directory / "state")
    by_limits = rng.random() < 0.3
    board_uses.prepare(bed, rng, by_limits=by_limits)
    before = bed.knobs()
    tree = _FaultyTree(bed.tree, points)
    holds: list[Hold] = []

    def held(machine: Machine) -> Hold:
        holds.append(Hold(machine))
        return holds[-1]

    use = board_uses.one_use(rng, by_limits=by_limits)
    given_back, died, words = None, False, "nothing failed"
    with patch.object(board_uses, "Hold", held), under_faults(points, directory / "state"):
        try:
            use(bed, replace(bed.machine, tree=tree), rng)
        except Killed:
            died = True
        except (DeviceError, OSError) as error:
            words = str(error)
        if holds and not died:
            try:
                given_back = holds[-1].give_back()
            except Killed:
                died = True
            except (DeviceError, OSError) as error:  # the journal stays, and the next start says so
                words = str(error)
    assert words.strip(), "an error says nothing"
    if given_back is not None:
        _check_said(bed, before, given_back.faults())
    tree.bury()
    recovered = recover(bed.machine)
    assert recovered is not None
    assert not recovered.faults(), recovered
    shown = bed.knobs()
    assert shown == before, {path: (was, shown[path]) for path, was in before.items() if shown[path] != was}
    assert not list(bed.machine.state.glob("journal-*"))


def _check_said(bed: BoardBed, before: dict[str, str], faults: list[str]) -> None:
    """Check that each knob that is not as it was found is named."""
    for path, shown in bed.knobs().items():
        hangs_on_governor = path.endswith("_us") or path.endswith("scaling_setspeed")
        # One limit hides the other: a lowest clock of 300 MHz shows 200 until the highest can be raised from there.
        domain = path.rsplit("/", 1)[0]
        said = any(domain in line or (hangs_on_governor and "scaling_governor" in line) for line in faults)
        assert shown == before[path] or said, f"{path}: {before[path]}, now {shown}, and not a word: {faults}"


SUBJECT = Subject(name="knobs", kinds=_KINDS, run=_run)
