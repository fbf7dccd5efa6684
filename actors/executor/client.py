"""A worker's end of the executors: networks that run in another process, used as if they ran in this one.

When an executor dies, the request that it was running fails, and so do those that come before it is back. As soon as
it is back, each network is held again in the background, so a gear on a GPU recovers by itself. An executor that hangs
is killed by whoever waits for it, so that it comes back.
"""

from __future__ import annotations

import math
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from actors.executor.packets import Held, Infer, Inferred, TensorMemory, open_socket, receive, send
from actors.executor.underway import ANSWER_WALL_S, Hang, InferenceWatch, Underway
from actors.process_identity import ProcessIdentity, read_stat
from actors.wire import WireError
from supernets.artifact import Artifact

_HOLD_WALL_S = 300.0
"""Longest wait for a network to be prepared, also on a machine that stalls."""
_LOOK_WALL_S = 0.1
"""Time between two looks at an executor that does not answer yet."""
_START_WALL_S = 60.0
"""Longest wait for an executor that is being started or restarted."""
_AGAIN_WALL_S = 0.1
"""Time between two attempts to connect."""


_Answer = TypeVar("_Answer", Held, Inferred)


class ExecutorError(RuntimeError):
    """The executor refused: the network can't be prepared, or it failed on this request."""


class ExecutorLostError(RuntimeError):
    """The process of the executor ended, or does not answer."""


class ExecutorHungError(ExecutorLostError):
    """The executor was killed, since this network's inference took longer than it may.

    Attributes:
        hang: what was seen.
    """

    def __init__(self, message: str, hang: Hang) -> None:
        super().__init__(message)
        self.hang = hang


class _StuckError(OSError):
    """The executor got no further, and was killed."""

    def __init__(self, hang: Hang) -> None:
        super().__init__(hang.why)
        self.hang = hang


class ExecutorClient:
    """The networks that one process holds in the executor of one unit.

    Args:
        unit: name of the unit, for messages.
        path: socket of the executor.
    """

    def __init__(self, unit: str, path: Path) -> None:
        self.unit = unit
        self._path = path
        self._networks: weakref.WeakSet[RemoteNetwork] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._reconnecting = False
        self._closed = threading.Event()

    def prepare(self, artifact: Artifact, bound_s: float = ANSWER_WALL_S) -> RemoteNetwork:
        """Have the executor hold a network as long as the returned object exists.

        Args:
            artifact: the network.
            bound_s: how long an inference may take on the wall, in seconds, before the executor is taken for hung.

        Raises:
            ExecutorError: if it can't be prepared.
            ExecutorLostError: if there is no executor, and none comes.
        """
        network = RemoteNetwork(self, artifact, self._connect(artifact, time.monotonic() + _START_WALL_S), bound_s)
        with self._lock:
            self._networks.add(network)
        return network

    def lost(self, network: RemoteNetwork) -> None:
        """Hold all networks again, in the background, once there is an executor; this network first."""
        with self._lock:
            # One network found the executor gone, so the connections of all others are dead too.
            for other in self._networks:
                other.link = None
            if self._reconnecting or self._closed.is_set():
                return
            self._reconnecting = True
        threading.Thread(target=self._reconnect, args=(network,), name=f"executor {self.unit}", daemon=True).start()

    def close(self) -> None:
        """Give all networks back, and stop waiting for an executor."""
        self._closed.set()
        with self._lock:
            for network in self._networks:
                network.link = None

    def _connect(self, artifact: Artifact, until_s: float) -> Link:
        """Return a connection that holds a network, tried until the monotonic time `until_s`."""
        while True:
            try:
                return Link(self._path, artifact)
            except WireError as error:
                raise ExecutorError(f"the executor of unit {self.unit!r} speaks another language: {error}") from None
            except OSError as error:
                if self._closed.wait(_AGAIN_WALL_S) or time.monotonic() > until_s:
                    raise ExecutorLostError(f"the executor of unit {self.unit!r} can't be reached: {error}") from None

    def _reconnect(self, first: RemoteNetwork) -> None:
        """Hold the networks again that have no connection, until all have one or are refused."""
        while True:
            # Looked up again each time: meanwhile networks were prepared, dropped, or lost once more.
            with self._lock:
                broken = [network for network in self._networks if network.link is None and network.refused is None]
                if not broken or self._closed.is_set():
                    self._reconnecting = False
                    return
            network = min(broken, key=lambda network: network is not first)
            try:
                network.link = self._connect(network.artifact, math.inf)
            except ExecutorLostError:
                continue  # closed
            except ExecutorError as error:
                network.refused = str(error)


class RemoteNetwork:
    """A network held in an executor, for one thread: an `engines.PreparedNetwork`.

    Attributes:
        artifact: exported file from which it was prepared.
        memory_mb: memory that it takes in the executor, in MB.
        link: its connection; None while the executor is being restarted.
        refused: why a restarted executor refused it; None otherwise.
    """

    def __init__(self, client: ExecutorClient, artifact: Artifact, link: Link, bound_s: float) -> None:
        self.artifact = artifact
        self.memory_mb = link.held.memory_mb
        self.link: Link | None = link
        self.refused: str | None = None
        self._client = client
        self._bound_s = bound_s

    def __call__(self, x: NDArray[np.float32], stop: Callable[[], bool] | None = None) -> NDArray[np.float32]:
        """Return the network's output for one input of `artifact.input_shape`.

        Args:
            x: the input.
            stop: never asked; what has begun in an executor runs to its end there.

        Raises:
            ValueError: if the input has another shape.
            ExecutorError: if the request failed in the executor.
            ExecutorHungError: if the inference took longer than its bound; the executor was killed.
            ExecutorLostError: if the executor ended meanwhile, is not back yet, or got no further for another reason.
        """
        if x.shape != self.artifact.input_shape:
            raise ValueError(f"{self.artifact.subnet} takes an input of {self.artifact.input_shape}, not {x.shape}")
        link, where = self.link, f"the executor of unit {self._client.unit!r}"
        if link is None:
            raise ExecutorLostError(self.refused or f"{where} is being started again")
        try:
            return link.run(x, self._bound_s)
        except _StuckError as error:
            self._client.lost(self)
            said = f"{where} {error}, and is started again"
            raise (ExecutorHungError(said, error.hang) if error.hang.own else ExecutorLostError(said)) from None
        except (OSError, WireError) as error:
            self._client.lost(self)
            raise ExecutorLostError(f"{where} ended, or does not answer: {error}") from None


class Link:
    """One connection: a network held by an executor, and the memory for its input and output.

    Attributes:
        held: the executor's answer to the artifact.
    """

    def __init__(self, path: Path, artifact: Artifact) -> None:
        """Connect, and wait until the network is ready.

        Raises:
            OSError: if there is no executor.
            WireError: if it is of another version.
            ExecutorError: if the network can't be prepared.
        """
        self._socket = open_socket()
        # The end of the connection gives the network back: it does when the last user of this object is gone.
        weakref.finalize(self, self._socket.close)
        self._socket.connect(str(path))
        self._executor = _peer(self._socket)
        self._underway: Underway | None = None
        self._socket.settimeout(_LOOK_WALL_S)
        send(self._socket, artifact)
        self.held, files = self._receive(Held, files_at_most=2)
        try:
            if self.held.error is not None:
                raise ExecutorError(self.held.error)
            self._memory = TensorMemory(files[0], artifact.input_shape, self.held.output_shape)
            self._underway = Underway(files[1])
        finally:
            for file in files:
                os.close(file)

    def run(self, x: NDArray[np.float32], bound_s: float) -> NDArray[np.float32]:
        """Return the output for an input, as a copy that later calls do not change.

        Args:
            x: the input.
            bound_s: how long it may take on the wall, in seconds, from when the executor begins with it.

        Raises:
            OSError: if the executor is gone, or got no further and was killed.
            WireError: if its answer makes no sense.
            ExecutorError: if the network raised.
        """
        self._memory.input[...] = x
        send(self._socket, Infer(bound_s=bound_s))
        answer, _ = self._receive(Inferred)
        if answer.error is not None:
            raise ExecutorError(answer.error)
        return self._memory.output.copy()

    def _receive(self, expected: type[_Answer], files_at_most: int = 0) -> tuple[_Answer, list[int]]:
        """Wait for an answer, and watch the executor meanwhile; one that gets no further is killed."""
        underway = self._underway
        until_s = time.monotonic() + _HOLD_WALL_S
        watch = InferenceWatch(0 if underway is None else self.held.holder, time.monotonic())
        while True:
            try:
                return receive(self._socket, expected, files_at_most)
            except TimeoutError:
                now_s = time.monotonic()
                hang = watch.look(None if underway is None else underway.read(), self._is_stopped(), now_s)
                if hang is not None:
                    self._kill()
                    raise _StuckError(hang) from None
                if now_s > until_s:
                    raise

    def _is_stopped(self) -> bool:
        stat = read_stat(self._executor.pid) if self._executor is not None else None
        return stat is not None and stat.stopped

    def _kill(self) -> None:
        # Never this process, in which tests may have an executor; and none that has the number of one that ended.
        if self._executor is not None and self._executor.pid != os.getpid():
            self._executor.send(signal.SIGKILL)


def _peer(connected: socket.socket) -> ProcessIdentity | None:
    """Return the process at the other end; None if it can't be seen from here."""
    pid, _, _ = struct.unpack("3i", connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return ProcessIdentity.of(pid) if pid > 0 else None


@contextmanager
def own_executor(device: str) -> Iterator[ExecutorClient]:
    """Run an executor for the caller alone, in a process that ends with this one at the latest.

    Args:
        device: device as torch names it, such as `cuda:0`.

    Raises:
        ExecutorLostError: if it does not start, with the last line of its errors.
    """
    with TemporaryDirectory(prefix="gearshift-executor-") as directory:
        path = Path(directory) / "socket"
        command = [sys.executable, "-m", "actors.executor.server", str(path), device]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
            assert process.stdout
            assert process.stderr
            client = ExecutorClient(device, path)
            try:
                if not process.stdout.readline():
                    said = process.stderr.read().strip().splitlines()
                    raise ExecutorLostError(f"the executor on {device!r} does not start: {' '.join(said[-1:])}")
                yield client
            finally:
                client.close()
                process.kill()
