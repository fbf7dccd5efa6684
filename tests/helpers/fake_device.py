"""A device with made-up networks, and an executor on it behind a socket."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from actors.executor.client import ExecutorClient
from actors.executor.server import Executor, ExecutorServer
from supernets.artifact import Artifact

PATIENCE_S = 30.0
"""The longest that a test waits; it needs this only where the machine stalls."""


def artifact(subnet: str, side: int = 4) -> Artifact:
    return Artifact(subnet=subnet, path=f"/none/{subnet}.onnx", input_shape=(1, 1, side, side), weights_hash=subnet)


A, B, C = artifact("a"), artifact("b"), artifact("c", side=2)


class Network:
    """A network that returns the sum of its input and the code of its sub-network's letter.

    An input that begins with `WAIT` waits for the device's `go_on`, one with `FAIL` fails, and one with `BREAK` breaks
    the device.
    """

    WAIT, FAIL, BREAK = 1000.0, 2000.0, 3000.0

    def __init__(self, device: Device, of: Artifact) -> None:
        self.memory_mb = device.memory_mb
        self._device = device
        self._subnet = of.subnet

    def __call__(self, x: np.ndarray) -> np.ndarray:
        device, first = self._device, float(x.flat[0])
        device.inside += 1
        device.inside_at_most = max(device.inside_at_most, device.inside)
        try:
            if first == self.WAIT:
                device.began.set()
                assert device.go_on.wait(PATIENCE_S)
            if first == self.BREAK:
                device.broken = True
            if device.broken or first == self.FAIL:
                raise RuntimeError(f"no such kernel {first:g}")
            device.ran.append(self._subnet)
            return np.array([[x.sum(), ord(self._subnet)]], np.float32)
        finally:
            device.inside -= 1


class Device:
    """A device that loads such networks and counts what they do."""

    def __init__(self, memory_mb: float = 1.0) -> None:
        self.memory_mb = memory_mb
        self.loaded: list[str] = []
        self.ran: list[str] = []
        self.inside = self.inside_at_most = 0
        self.began, self.go_on = threading.Event(), threading.Event()
        self.slow: threading.Event | None = None
        self.broken = False

    def load(self, of: Artifact) -> Network:
        if of.subnet == "bad":
            raise OSError("no such file")
        if self.slow is not None:
            assert self.slow.wait(PATIENCE_S)
        self.loaded.append(of.subnet)
        return Network(self, of)


class Served:
    """An executor behind its socket, in this process."""

    def __init__(self, device: Device, path: Path, bound_mb: float = 100.0) -> None:
        self.executor = Executor(device.load, bound_mb)
        self.path = path
        self.lost = threading.Event()
        self.server = ExecutorServer(self.executor, path, on_lost=self.lost.set)

    def client(self) -> ExecutorClient:
        return ExecutorClient("gpu", self.path)


def full(of: Artifact, value: float) -> np.ndarray:
    """Return an input of a network in which every number is the same."""
    return np.full(of.input_shape, value, np.float32)


def out(of: Artifact, value: float) -> list[float]:
    """Return the output that a network gives for such an input."""
    return [value * np.prod(of.input_shape), ord(of.subnet)]


def wait_for(what: Callable[[], Any]) -> None:
    """Wait until that is true."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < deadline_s, "it never came to be so"
        time.sleep(0.01)
