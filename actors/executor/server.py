"""The executor of a GPU: the one process that computes on it, with the networks of all applications placed there.

It holds the device's one context, prepares networks while it serves, shares a network among the applications that
hold the same one, and runs one request at a time. It knows no applications, deadlines or gears: *which* request is
next is decided in one place, the board's ledger, whose token of the GPU a worker holds from before its request until
after its result (`actors.ledger.ledger`). Requests wait here only behind one whose worker was killed in the middle of
it.

Run as a program (`python -m actors.executor.server SOCKET DEVICE`) it serves until its standard input ends.
"""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from actors.executor.packets import Held, Infer, Inferred, TensorMemory, open_socket, receive, send
from actors.wire import WireError
from supernets.artifact import Artifact

if TYPE_CHECKING:
    from supernets.engines import PreparedNetwork

Load = Callable[[Artifact], "PreparedNetwork"]
"""Makes a network ready on the executor's device."""

_BOUND_MB = 1024.0
"""Networks that nobody holds are kept up to this: a board's GPU shares its memory with everything else there."""

_SWITCH_INTERVAL_S = 1e-4
"""How long a thread that prepares in Python may keep the running request from going on; nothing else runs here."""


class DeviceLostError(RuntimeError):
    """The device does not run any more what it ran before: its context is broken, and this process's with it."""


@dataclass(slots=True, eq=False)
class _Network:
    run: PreparedNetwork
    output_shape: tuple[int, ...]
    holders: int = 1


class Executor:
    """Networks on one device. Safe to use from several threads.

    Args:
        load: makes a network ready.
        bound_mb: memory of all networks above which those that nobody holds are given up, the least recently held
            first. What is held stays, whatever it takes: it may serve the next request.
    """

    def __init__(self, load: Load, bound_mb: float = _BOUND_MB) -> None:
        self._load = load
        self._bound_mb = bound_mb
        self._networks: OrderedDict[Artifact, _Network] = OrderedDict()  # least recently held first
        self._table = threading.Lock()  # guards the table, for moments only
        self._preparing = threading.Lock()  # one network is prepared at a time, while others run
        self._running = threading.Lock()  # the device runs one request at a time

    def hold(self, artifact: Artifact) -> Held:
        """Makes a network ready, unless it is, and keeps it until it is released as often as it was held.

        Raises:
            Exception: whatever the engine raises for a file or a device that won't do.
        """
        network = self._held(artifact)
        if network is None:
            with self._preparing:
                network = self._held(artifact) or self._prepare(artifact)
        return Held(output_shape=network.output_shape, memory_mb=network.run.memory_mb)

    def release(self, artifact: Artifact) -> None:
        """Takes back one `hold`."""
        with self._table:
            self._networks[artifact].holders -= 1
            self._evict()

    def run(self, artifact: Artifact, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """The output of a network that is held.

        Raises:
            DeviceLostError: if the device is broken; the process should end and be started anew.
            Exception: whatever else the engine raises, which costs this request only.
        """
        network = self._networks[artifact]
        with self._running:
            try:
                return network.run(x)
            except Exception as error:
                self._check(network, artifact, error)
                raise

    @property
    def ready(self) -> tuple[Artifact, ...]:
        """What is ready, least recently held first."""
        with self._table:
            return tuple(self._networks)

    def _held(self, artifact: Artifact) -> _Network | None:
        with self._table:
            network = self._networks.get(artifact)
            if network is not None:
                network.holders += 1
                self._networks.move_to_end(artifact)
            return network

    def _prepare(self, artifact: Artifact) -> _Network:
        prepared = self._load(artifact)
        with self._running:
            output = prepared(_blank(artifact))
        network = _Network(run=prepared, output_shape=output.shape)
        with self._table:
            self._networks[artifact] = network
            self._evict()
        return network

    def _evict(self) -> None:
        """Gives up what is over the bound and held by nobody (table locked)."""
        idle = [artifact for artifact, network in self._networks.items() if not network.holders]
        for artifact in idle:
            if sum(network.run.memory_mb for network in self._networks.values()) <= self._bound_mb:
                return
            del self._networks[artifact]

    def _check(self, network: _Network, artifact: Artifact, error: Exception) -> None:
        """Tells a bad request from a broken device: an error in a CUDA kernel fails every later call of the process."""
        try:
            network.run(_blank(artifact))
        except Exception:
            raise DeviceLostError(f"{type(error).__name__}: {error}") from error


def _blank(artifact: Artifact) -> NDArray[np.float32]:
    return np.zeros(artifact.input_shape, np.float32)


class ExecutorServer:
    """Serves an executor's networks to other processes; each connection has a thread and holds one network.

    Args:
        executor: what is served.
        path: of the socket; one that a killed predecessor left there is replaced.
        on_lost: called when the device is broken. It ends the process, unless a test looks on.
    """

    def __init__(self, executor: Executor, path: Path, on_lost: Callable[[], None] = lambda: os._exit(1)) -> None:
        self._executor = executor
        self._on_lost = on_lost
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        path.unlink(missing_ok=True)
        self._listener = open_socket()
        self._listener.bind(str(path))
        self._listener.listen()
        self._acceptor = threading.Thread(target=self._accept, name="executor", daemon=True)
        self._acceptor.start()

    def close(self) -> None:
        """Takes no more connections and ends those there are."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._listener.close()
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # closed
            with self._lock:
                self._connections.add(connection)
            threading.Thread(target=self._serve, args=(connection,), name="executor network", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        """One connection from its beginning to its end."""
        with connection:
            try:
                self._greet(connection)
            except OSError:
                pass  # whoever it was is gone
            finally:
                with self._lock:
                    self._connections.discard(connection)

    def _greet(self, connection: socket.socket) -> None:
        """Has the executor hold what the first packet asks for, and lets go of it at the connection's end."""
        try:
            artifact, _ = receive(connection, Artifact)
        except WireError as error:
            send(connection, Held(error=_text(error)))
            return
        try:
            held = self._executor.hold(artifact)
        except Exception as error:  # whatever the engine or the device has against this network
            send(connection, Held(error=_text(error)))
            return
        try:
            file = TensorMemory.create(artifact.input_shape, held.output_shape)
            try:
                memory = TensorMemory(file, artifact.input_shape, held.output_shape)
                send(connection, held, file)
            finally:
                os.close(file)
            self._run(connection, artifact, memory)
        finally:
            self._executor.release(artifact)

    def _run(self, connection: socket.socket, artifact: Artifact, memory: TensorMemory) -> None:
        while True:
            try:
                receive(connection, Infer)
            except WireError as error:
                send(connection, Inferred(error=_text(error)))
                continue
            try:
                memory.output[...] = self._executor.run(artifact, memory.input)
            except DeviceLostError as error:
                send(connection, Inferred(error=_text(error)))
                self._on_lost()
            except Exception as error:  # the request's fault
                send(connection, Inferred(error=_text(error)))
            else:
                send(connection, Inferred())


def _text(error: Exception) -> str:
    return str(error) if isinstance(error, WireError) else f"{type(error).__name__}: {error}"


def engine_on(device: str) -> Load:
    """The torch engine on a device, such as `cuda:0`, whose context this makes; the process is to be an executor's."""
    import torch

    from supernets import engines

    torch.zeros(1, device=device)  # now, so that the context counts to no network's memory and to no request's time
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    gc.collect()
    gc.freeze()  # torch's own hundred thousands of objects: to go through them would hold up requests for long
    # A thread's device is the first unless it says so, and each network is prepared on a thread of its own.
    here = partial(torch.cuda.device, device) if device.startswith("cuda") else contextlib.nullcontext

    def load(artifact: Artifact) -> PreparedNetwork:
        with here():
            return engines.prepare(artifact, "torch", device=device)

    return load


def main(path: str, device: str) -> None:
    """Serves until standard input ends, as it does when whoever started this process dies."""
    server = ExecutorServer(Executor(engine_on(device)), Path(path))
    print("up", flush=True)
    sys.stdin.read()
    server.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
