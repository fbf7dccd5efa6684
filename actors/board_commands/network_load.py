"""A load that is a network: it runs back to back on the cores given, as requests would have it run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from actors.affinity import Affinity
from supernets.engines import PreparedNetwork


class NetworkLoad:
    """A network that runs back to back, on a thread of its own.

    Args:
        prepare: makes the network; threads that it starts inherit the CPUs of the thread that calls it.
        x: its input.
        cpus: the CPUs of the thread; none for where it happens to be, as for a network on a GPU.
        affinity: the kernel's masks of threads.

    Raises:
        SupernetError: if the network can't be made; so may other errors of `prepare`.
    """

    def __init__(
        self,
        prepare: Callable[[], PreparedNetwork],
        x: NDArray[np.float32],
        cpus: Sequence[int],
        affinity: Affinity,
    ) -> None:
        self._x = x
        self._stopping = threading.Event()
        self._running: Future[float | None] | None = None
        # Affinity belongs to a thread, so the network is made and run on one that nothing else is done on.
        self._pool = ThreadPoolExecutor(1)

        def made() -> PreparedNetwork:
            if cpus:
                affinity.set(threading.get_native_id(), cpus)
            return prepare()

        try:
            self._network = self._pool.submit(made).result()
        except BaseException:
            self.close()
            raise

    def start(self, cpus: Sequence[int]) -> None:
        """Run it from now on; see `Load`. Its CPUs are those that it was made for."""
        self._stopping.clear()
        self._running = self._pool.submit(self._run)

    def stop(self) -> float | None:
        """Stop, and return the mean time of a run in seconds, or None if none has ended; see `Load`.

        Raises:
            Exception: what the network has raised.
        """
        self._stopping.set()
        running, self._running = self._running, None
        return None if running is None else running.result()

    def close(self) -> None:
        """End its thread; see `Load`."""
        self._stopping.set()
        self._pool.shutdown()

    def _run(self) -> float | None:
        runs, begin_s = 0, time.perf_counter()
        while not self._stopping.is_set():
            self._network(self._x)
            runs += 1
        return (time.perf_counter() - begin_s) / runs if runs else None
