"""The executor of a GPU: the one process that computes on it, with the networks of all applications placed there.

- It holds the device's one context, prepares networks while it serves, shares a network among the applications that
  hold the same one, and runs one request at a time.
- It knows no applications, deadlines or gears. Which request is next is decided in one place, the board's ledger: a
  worker holds the GPU's token from before its request until after its result (`actors.ledger.ledger`). A request waits
  here only behind one whose worker was killed while it ran, or behind the trial of a network that is being prepared.
- What it computes stands in a record that its clients map (`actors.executor.underway`): they end it when it hangs.
- Run as a program (`python -m actors.executor.server SOCKET DEVICE`) it serves until its standard input ends.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import math
import os
import socket
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from actors.executor.packets import Held, Infer, Inferred, TensorMemory, open_socket, receive, send
from actors.executor.underway import InferenceWatch, Underway
from actors.wire import WireError
from supernets.artifact import Artifact
from supernets.outputs import Output

if TYPE_CHECKING:
    from supernets.engines import PreparedNetwork

Load = Callable[[Artifact], "PreparedNetwork"]
"""Makes a network ready on the executor's device."""

_BOUND_MB = 1024.0
"""Memory of all networks above which those that no worker holds are dropped: a board's GPU shares its memory with
everything else on the board."""

_SWITCH_INTERVAL_S = 1e-4
"""Longest time that a thread which prepares in Python keeps the running request waiting; no other work runs here."""


_TRIAL_S = 20.0
"""Longest first run of a network, for which a device's driver may compile; a longer one is refused."""

_TRIAL_BOUND_S = 25.0
"""Time after which clients end an executor that can't even refuse it; less than they wait for any answer."""


_LOOK_WALL_S = 0.1
"""Time between two looks at what a network that is prepared waits for."""


class DeviceLostError(RuntimeError):
    """The device fails on a network that it ran before: its context is broken, and this process must be restarted."""


@dataclass(slots=True, eq=False)
class _Network:
    """A network that is ready.

    Attributes:
        run: computes the output for an input.
        output_shape: shape of the output.
        holders: number of connections that hold it.
    """

    run: PreparedNetwork
    output_shape: tuple[int, ...]
    holders: int = 1


class Executor:
    """The networks on one device. Safe to use from several threads.

    Args:
        load: makes a network ready.
        bound_mb: memory of all networks, in MB, above which those without a holder are dropped, the least recently
            held first. A network that is held stays whatever it takes: it may serve the next request.

    Attributes:
        underway: the record of what the device computes.
    """

    def __init__(self, load: Load, bound_mb: float = _BOUND_MB) -> None:
        self._load = load
        self.underway = Underway.create()
        self._bound_mb = bound_mb
        self._networks: OrderedDict[Artifact, _Network] = OrderedDict()  # least recently held first
        # Three locks, so that preparing a network, which takes seconds, keeps no request waiting.
        self._table = threading.Lock()  # guards the table; held for moments only
        self._preparing = threading.Lock()  # one network is prepared at a time, while others run
        self._running = threading.Lock()  # the device runs one request at a time

    def hold(self, artifact: Artifact, on_hang: Callable[[], object] = lambda: None) -> Held:
        """Make a network ready, unless it is, and keep it until it is released as often as it was held.

        Args:
            artifact: the network.
            on_hang: called on another thread if its first run takes too long; it is to end this process.

        Raises:
            DeviceLostError: if the device hangs; the process should end and be restarted.
            Exception: whatever else the engine raises for a file or a device that it can't use.
        """
        network = self._held(artifact)
        if network is None:
            with self._preparing:
                # Asked again: another connection may have prepared it during the wait for the lock.
                network = self._held(artifact) or self._prepare(artifact, on_hang)
        return Held(output_shape=network.output_shape, memory_mb=network.run.memory_mb)

    def release(self, artifact: Artifact) -> None:
        """Undo one `hold`."""
        with self._table:
            self._networks[artifact].holders -= 1
            self._evict()

    def run(
        self, artifact: Artifact, x: NDArray[np.float32], *, holder: int = 0, bound_s: float = math.inf
    ) -> NDArray[np.float32]:
        """Return the output of a network that is held.

        Args:
            artifact: the network.
            x: its input.
            holder: number of the connection that it is for.
            bound_s: how long it may take, in seconds, before a client ends this process.

        Raises:
            DeviceLostError: if the device is broken; the process should end and be restarted.
            Exception: whatever else the engine raises, which costs this request only.
        """
        network = self._networks[artifact]
        with self._running, self.underway.running(holder, bound_s):
            try:
                return _one(network.run(x))
            except Exception as error:
                self._check(network, artifact, error)
                raise

    @property
    def ready(self) -> tuple[Artifact, ...]:
        """Artifacts whose networks are ready, least recently held first."""
        with self._table:
            return tuple(self._networks)

    def _held(self, artifact: Artifact) -> _Network | None:
        """Return a network that is ready, with one more holder; None if it is not ready."""
        with self._table:
            network = self._networks.get(artifact)
            if network is not None:
                network.holders += 1
                self._networks.move_to_end(artifact)
            return network

    def _prepare(self, artifact: Artifact, on_hang: Callable[[], object]) -> _Network:
        prepared = self._load(artifact)
        self._await_turn()
        guard = threading.Timer(_TRIAL_S, on_hang)
        guard.daemon = True
        guard.start()
        try:
            with self.underway.running(0, _TRIAL_BOUND_S):
                output = _one(prepared(_blank(artifact)))  # tells the shape of the output
        finally:
            guard.cancel()
            self._running.release()
        network = _Network(run=prepared, output_shape=output.shape)
        with self._table:
            self._networks[artifact] = network
            self._evict()
        return network

    def _await_turn(self) -> None:
        """Take the device for a trial, and find it lost if what it computes lasts past its bound."""
        # Clients watch their own requests. Where nobody has one, since its worker was killed, this is who waits.
        watch = InferenceWatch(-1, time.monotonic(), math.inf)
        while not self._running.acquire(timeout=_LOOK_WALL_S):
            hang = watch.look(self.underway.read(), False, time.monotonic())
            if hang is not None:
                raise DeviceLostError(f"the executor {hang.why}")

    def _evict(self) -> None:
        """Drop networks without a holder until the rest is within the bound (table locked)."""
        idle = [artifact for artifact, network in self._networks.items() if not network.holders]
        for artifact in idle:
            if sum(network.run.memory_mb for network in self._networks.values()) <= self._bound_mb:
                return
            del self._networks[artifact]

    def _check(self, network: _Network, artifact: Artifact, error: Exception) -> None:
        """Raise if the device is broken rather than the request bad.

        An error in a CUDA kernel makes every later call of the process fail, so the network is run once more on an
        input that is certainly good.
        """
        try:
            network.run(_blank(artifact))
        except Exception:
            raise DeviceLostError(f"{type(error).__name__}: {error}") from error


def _one(output: Output) -> NDArray[np.float32]:
    """Return the output of a network that has one, as all torch programs do."""
    assert isinstance(output, np.ndarray)
    return output


def _blank(artifact: Artifact) -> NDArray[np.float32]:
    """Return an input of zeros."""
    return np.zeros(artifact.input_shape, np.float32)


class ExecutorServer:
    """Serves an executor's networks to other processes; each connection has a thread and holds one network.

    Args:
        executor: the executor.
        path: socket to serve at; one that a killed predecessor left there is replaced.
        on_lost: called when the device is broken; ends the process, except in tests.
    """

    def __init__(self, executor: Executor, path: Path, on_lost: Callable[[], None] = lambda: os._exit(1)) -> None:
        self._executor = executor
        self._on_lost = on_lost
        self._connections: set[socket.socket] = set()
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        path.unlink(missing_ok=True)
        self._listener = open_socket()
        self._listener.bind(str(path))
        self._listener.listen()
        self._acceptor = threading.Thread(target=self._accept, name="executor", daemon=True)
        self._acceptor.start()

    def close(self) -> None:
        """Accept no more connections, and end those that there are."""
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
        """Serve one connection from its beginning to its end."""
        with connection:
            try:
                self._greet(connection)
            except OSError:
                pass  # the worker is gone
            finally:
                with self._lock:
                    self._connections.discard(connection)

    def _greet(self, connection: socket.socket) -> None:
        """Hold the network that the first packet asks for, run it on each order, and release it at the end."""
        try:
            artifact, _ = receive(connection, Artifact)
        except WireError as error:
            send(connection, Held(error=_text(error)))
            return

        def refuse() -> None:
            with contextlib.suppress(OSError):
                send(connection, Held(error=f"its first run on the device did not end within {_TRIAL_S:.0f} s"))
            self._on_lost()

        try:
            held = replace(self._executor.hold(artifact, refuse), holder=next(self._numbers))
        except DeviceLostError:
            self._on_lost()  # no answer: the worker asks the next executor
            return
        except Exception as error:  # an engine may raise anything, and it costs this network only
            send(connection, Held(error=_text(error)))
            return
        try:
            file = TensorMemory.create(artifact.input_shape, held.output_shape)
            try:
                memory = TensorMemory(file, artifact.input_shape, held.output_shape)
                # The worker gets the files themselves, and maps the same memory.
                send(connection, held, file, self._executor.underway.file)
            finally:
                os.close(file)
            self._run(connection, artifact, memory, held.holder)
        finally:
            self._executor.release(artifact)

    def _run(self, connection: socket.socket, artifact: Artifact, memory: TensorMemory, holder: int) -> None:
        """Run the network on each order, until the connection ends, which `receive` raises."""
        while True:
            try:
                order, _ = receive(connection, Infer)
            except WireError as error:
                send(connection, Inferred(error=_text(error)))
                continue
            try:
                memory.output[...] = self._executor.run(artifact, memory.input, holder=holder, bound_s=order.bound_s)
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
    """Return a loader for the torch engine on a device.

    It makes the device's context and changes settings of the whole process, which should be an executor's alone.

    Args:
        device: device as torch names it, such as `cuda:0`.
    """
    import torch

    from supernets import engines

    torch.zeros(1, device=device)  # now, so that the context counts to no network's memory and to no request's time
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    gc.collect()
    gc.freeze()  # a collection that went through torch's hundreds of thousands of objects would delay requests for long
    # In torch the current device belongs to the thread and is the first one at its start. Each network is prepared on a
    # thread of its own, so each has to choose the device.
    here = partial(torch.cuda.device, device) if device.startswith("cuda") else contextlib.nullcontext

    def load(artifact: Artifact) -> PreparedNetwork:
        with here():
            return engines.prepare(artifact, "torch", device=device)

    return load


def main(path: str, device: str) -> None:
    """Serve until standard input ends, as it does when the process that started this one dies.

    Args:
        path: socket to serve at.
        device: device as torch names it.
    """
    server = ExecutorServer(Executor(engine_on(device)), Path(path))
    print("up", flush=True)
    sys.stdin.read()
    server.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
