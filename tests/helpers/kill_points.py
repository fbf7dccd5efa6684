"""Death of a process between any two of its writes, to the board or to the journal."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from actors.agent.devices import journal
from actors.agent.devices.sysfs import File, Tree


class Killed(BaseException):
    """Stands for SIGKILL in a test whose process goes on: nothing in the product catches it."""


class KillPoints:
    """Counts writes, and kills at one of them.

    Attributes:
        left: how many points are left; there is one before and one after each write. None to count only.
        passed: how many points were passed.
    """

    def __init__(self, die: Callable[[], None]) -> None:
        self._die = die
        self.left: int | None = None
        self.passed = 0

    def point(self) -> None:
        """Pass a point, or die there."""
        self.passed += 1
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self._die()

    def around(self, write: Callable[..., Any]) -> Callable[..., Any]:
        """Return a write with a point before and one after it."""

        def writes(*arguments: Any) -> Any:
            self.point()
            result = write(*arguments)
            self.point()
            return result

        return writes


class MortalTree(Tree):
    """A tree whose user may die at each write. Its locks are freed by `bury`, as a kernel frees those of the dead."""

    def __init__(self, tree: Tree, points: KillPoints) -> None:
        super().__init__()
        self._tree, self._points = tree, points
        self._unlocks: list[Callable[[], None]] = []
        for name in ("names", "exists", "real", "may", "lock_file", "pause"):
            setattr(self, name, getattr(tree, name))

    def open(self, path: str, *, writing: bool = False) -> File:
        file = self._tree.open(path, writing=writing)
        if writing:
            file.write = self._points.around(file.write)  # type: ignore[method-assign]
        return file

    def lock(self, path: str) -> Callable[[], None] | None:
        unlock = self._tree.lock(path)
        if unlock is not None:
            self._unlocks.append(unlock)
        return unlock

    def bury(self) -> None:
        """Free the locks of the process that died."""
        while self._unlocks:
            self._unlocks.pop()()


@contextmanager
def mortal_journal(points: KillPoints) -> Iterator[None]:
    """Have the journal's writes be points within the block."""

    class Os:
        write = staticmethod(points.around(os.write))
        pwrite = staticmethod(points.around(os.pwrite))

        def __getattr__(self, name: str) -> Any:
            return getattr(os, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "os", Os())
        yield
