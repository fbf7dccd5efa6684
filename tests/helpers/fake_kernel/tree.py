"""The tree of a fake kernel, in the process that holds the kernel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from actors.agent.devices.sysfs import Tree, natural

from .kernel import FakeKernel
from .nodes import File


class FakeFile:
    """An open file of a fake kernel."""

    def __init__(self, kernel: FakeKernel, path: str, file: File) -> None:
        self._kernel, self._path, self._file = kernel, path, file

    def read(self) -> bytes:
        return self._kernel.show(self._path, self._file)

    def write(self, content: bytes) -> None:
        self._kernel.store(self._path, self._file, content)

    def close(self) -> None:
        pass


class FakeTree(Tree):
    """The files of a fake kernel. Who uses them, root or not, is the kernel's `root`.

    Attributes:
        kernel: the kernel behind it.
    """

    def __init__(self, kernel: FakeKernel) -> None:
        super().__init__()
        self.kernel = kernel

    def open(self, path: str, *, writing: bool = False) -> FakeFile:
        return FakeFile(self.kernel, *self.kernel.open(path, writing=writing, root=self.kernel.root))

    def names(self, directory: str) -> list[str]:
        try:
            return sorted(self.kernel.names(directory), key=natural)
        except OSError:
            return []

    def exists(self, path: str) -> bool:
        return self.kernel.exists(path)

    def real(self, path: str) -> str:
        return self.kernel.real(path)

    def may(self, path: str, *, write: bool = False) -> bool:
        return self.kernel.may(path, write=write, root=self.kernel.root)

    def mode(self, path: str) -> int | None:
        return self.kernel.mode(path)

    def lock(self, path: str) -> Callable[[], None] | None:
        self.text(path)  # raises the KnobError of a file that cannot be opened
        return super().lock(path)

    def lock_file(self, path: str) -> Path:
        return self.kernel.lock_directory() / self.kernel.lock_name(path)

    def pause(self, seconds: float) -> None:
        self.kernel.pause()
