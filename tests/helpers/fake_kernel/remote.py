"""A fake kernel for other processes: it lives in the test, and the agents that use it may be killed.

with serve(kernel) as address:
    start_an_agent(RemoteTree(address))
"""

from __future__ import annotations

import errno
import itertools
import os
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

from actors.agent.devices.sysfs import Tree, natural

from .kernel import FakeKernel
from .nodes import File
from .texts import kernel_error


@contextmanager
def serve(kernel: FakeKernel) -> Iterator[str]:
    """Serve a kernel to other processes; yield the address for their `RemoteTree`.

    What they do is done by threads of this process. A request arrives whole or not at all.

    Args:
        kernel: the kernel; this process may use and turn it meanwhile.
    """
    address = str(kernel.lock_directory() / "socket")
    server = _Server(kernel)
    with Listener(address, "AF_UNIX", backlog=64) as listener:
        accepting = threading.Thread(target=server.accept, args=(listener,), daemon=True)
        accepting.start()
        try:
            yield address
        finally:
            server.open_to_all = False
            # Only a caller ends `accept`.
            with suppress(OSError):
                Client(address, "AF_UNIX").close()
            accepting.join()


class RemoteTree(Tree):
    """The files of a fake kernel that another process serves. It can be pickled.

    Attributes:
        address: what `serve` yielded.
    """

    def __init__(self, address: str) -> None:
        super().__init__()
        self.address = address
        self._mine = threading.local()

    def __reduce__(self) -> tuple[type[RemoteTree], tuple[str]]:
        return RemoteTree, (self.address,)

    def open(self, path: str, *, writing: bool = False) -> RemoteFile:
        return RemoteFile(self, self.call("open", path, writing))

    def names(self, directory: str) -> list[str]:
        try:
            return sorted(self.call("names", directory), key=natural)
        except OSError:
            return []

    def exists(self, path: str) -> bool:
        return bool(self.call("exists", path))

    def real(self, path: str) -> str:
        return str(self.call("real", path))

    def may(self, path: str, *, write: bool = False) -> bool:
        return bool(self.call("may", path, write))

    def lock(self, path: str) -> Callable[[], None] | None:
        self.text(path)  # raises the KnobError of a file that cannot be opened
        return super().lock(path)

    def lock_file(self, path: str) -> Path:
        return Path(*self.call("lock", path))

    def call(self, what: str, *arguments: Any) -> Any:
        """Have the kernel do something, on this thread's own connection.

        Raises:
            OSError: as the kernel does.
            RuntimeError: if the model itself failed.
        """
        # A process that was forked off may not talk on its parent's connection.
        if getattr(self._mine, "pid", None) != os.getpid():
            self._mine.connection = Client(self.address, "AF_UNIX")
            self._mine.pid = os.getpid()
        self._mine.connection.send((what, *arguments))
        ended, value = self._mine.connection.recv()
        if ended == "refused":
            raise kernel_error(value)
        if ended == "failed":
            raise RuntimeError(value)
        return value


class RemoteAffinity:
    """The masks of threads on a fake kernel that another process serves; see `FakeAffinity`. It can be pickled.

    Attributes:
        tree: the kernel's tree.
    """

    def __init__(self, tree: RemoteTree) -> None:
        self.tree = tree

    def get(self, tid: int) -> frozenset[int]:
        return frozenset(self.tree.call("affinity", tid or threading.get_native_id()))

    def set(self, tid: int, cpus: Collection[int]) -> None:
        self.tree.call("set affinity", tid or threading.get_native_id(), tuple(cpus))

    def online(self) -> frozenset[int]:
        return frozenset(self.tree.call("online"))

    def granted(self) -> frozenset[int]:
        return frozenset(self.tree.call("granted"))


class RemoteFile:
    """An open file of a fake kernel in another process."""

    def __init__(self, tree: RemoteTree, number: int) -> None:
        self._tree, self._number = tree, number

    def read(self) -> bytes:
        content = self._tree.call("read", self._number)
        assert isinstance(content, bytes)
        return content

    def write(self, content: bytes) -> None:
        self._tree.call("write", self._number, content)

    def close(self) -> None:
        self._tree.call("close", self._number)


class _Server:
    def __init__(self, kernel: FakeKernel) -> None:
        self._kernel = kernel
        self._files: dict[int, tuple[str, File]] = {}
        self._numbers = itertools.count()
        self.open_to_all = True

    def accept(self, listener: Listener) -> None:
        while self.open_to_all:
            connection = listener.accept()
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: Connection[Any, Any]) -> None:
        # A caller that was killed closes its connection, perhaps before it has its answer.
        with connection, suppress(EOFError, ConnectionError):
            while self.open_to_all:
                what, *arguments = connection.recv()
                try:
                    answer = ("done", self._do(what, *arguments))
                except OSError as error:
                    answer = ("refused", error.errno or errno.EIO)
                except Exception as error:
                    answer = ("failed", repr(error))
                connection.send(answer)

    def _do(self, what: str, *arguments: Any) -> Any:
        kernel = self._kernel
        match what, arguments:
            case "open", (path, writing):
                number = next(self._numbers)
                self._files[number] = kernel.open(path, writing=writing, root=kernel.root)
                return number
            case "read", (number,):
                return kernel.show(*self._files[number])
            case "write", (number, content):
                return kernel.store(*self._files[number], content)
            case "close", (number,):
                del self._files[number]
                return None
            case "may", (path, write):
                return kernel.may(path, write=write, root=kernel.root)
            case "lock", (path,):
                return str(kernel.lock_directory()), kernel.lock_name(path)
            case "affinity", (tid,):
                return kernel.affinity.get(tid)
            case "set affinity", (tid, cpus):
                return kernel.affinity.set(tid, cpus)
            case "online", ():
                return kernel.affinity.online()
            case "granted", ():
                return kernel.affinity.granted()
            case (("names" | "exists" | "real"), (path,)):
                return getattr(kernel, what)(path)
        raise ValueError(f"{what} {arguments}")
