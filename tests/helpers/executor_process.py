"""An executor on a made-up device (`helpers.fake_device`), in a forked process that a test kills or stops."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from actors.executor.server import Executor, ExecutorServer
from helpers import fake_device


class ExecutorProcess:
    """The process.

    Attributes:
        pid: its number.
    """

    def __init__(self, path: Path) -> None:
        """Start it, and return once it serves at a socket."""
        reading, writing = os.pipe()
        self._status: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            try:
                fake_device.PATIENCE_S = 1e6  # a network that is to wait (`Network.WAIT`) waits for ever
                ExecutorServer(Executor(fake_device.Device().load), path)
                os.write(writing, b"x")
                while True:
                    signal.pause()
            finally:
                os._exit(1)
        os.close(writing)
        os.read(reading, 1)
        os.close(reading)

    def send(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    @property
    def status(self) -> int | None:
        """How it ended: a code, or less than 0 the signal; None while it runs."""
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._status = os.waitstatus_to_exitcode(status) if pid else None
        return self._status


@contextmanager
def executor_process(path: Path) -> Iterator[ExecutorProcess]:
    """Yield the process of an executor that serves at a socket; it ends with the block."""
    process = ExecutorProcess(path)
    try:
        yield process
    finally:
        if process.status is None:
            process.send(signal.SIGKILL)
        fake_device.wait_for(lambda: process.status is not None)
