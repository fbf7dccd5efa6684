"""The types that all engines share, and the memory that networks take. Knows no engine."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from supernets.artifact import Artifact, Format
from supernets.outputs import Output, Outputs

_M_MMAP_THRESHOLD = -3  # malloc.h
_LARGE_BYTES = 4 << 20
"""More than a request allocates: a picture of 224 pixels is 0.6 MB."""

Run = Callable[[NDArray[Any]], Output]
"""Maps an input that fits `Artifact.input_shape` to an output that nothing overwrites later."""
Stop = Callable[[], bool]
"""Returns True if a run is to end before it is done."""


class StoppedError(Exception):
    """A run that was ended before it was done; it has no output."""


class RunInSteps(Protocol):
    """Runs a network that makes its output step by step."""

    def __call__(self, x: NDArray[Any], stop: Stop | None = None) -> Output:
        """Return the output; `stop` is asked before each step, and ends the run by a `StoppedError`."""
        ...


class PreparedNetwork(Protocol):
    """A sub-network ready to run, on a fixed number of threads, for one request at a time."""

    @property
    def memory_mb(self) -> float:
        """Memory in 10⁶ bytes that it takes and that no other prepared network shares."""
        ...

    def __call__(self, x: NDArray[Any], stop: Stop | None = None) -> Output:
        """Return the network's output for one input that fits `Artifact.input_shape`.

        Args:
            x: the input.
            stop: asked before each step of a network that makes its output step by step. Others run to their end:
                all of a user's own models, and whatever runs in a GPU's executor.

        Raises:
            StoppedError: if `stop` ended the run.
        """
        ...


@dataclass(frozen=True, slots=True)
class Mapped:
    """Weights mapped from a file: in memory once, however many networks, threads and processes use them.

    Attributes:
        path: path of the directory that holds the file.
        mb: size of the file in 10⁶ bytes.
    """

    path: str
    mb: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """A network that an engine has loaded, before its memory is measured.

    Attributes:
        run: runs the network.
        until: the same, for a network that makes its output step by step; None for others.
        warm_up: runs the network as all later inputs will; None where zeros of `Artifact.input_shape` do.
        mapped: the files of its weights, where the engine maps them.
        device_mb: returns its memory on a device in 10⁶ bytes; None where it computes in this process's memory.
    """

    run: Run
    until: RunInSteps | None = None
    warm_up: Callable[[], object] | None = None
    mapped: Mapped | None = None
    device_mb: Callable[[], float] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Engine:
    """An execution engine, as its module describes it.

    Attributes:
        name: its name for users.
        distribution: Python distribution that it is installed from; its version is the engine's.
        format: what it loads.
        precisions: what it can compute in, some of `supernets.artifact.PRECISIONS`.
        devices: kinds of device that it can compute on, `cpu` or `cuda`.
        start: imports the engine's library and sets it up; called before every `load`.
        load: loads an artifact for a number of threads on a device such as `cpu` or `cuda:0`. Raises `SupernetError`
            for a file or device that it can't use.
        why_not: returns why it can't be used on this machine, in words that follow "can't be used here"; None if it
            can. Asked before `start`.
        takes_parts: True if it loads networks that are more files than one (`Artifact.parts`).
        extra: the extra of gearshift that installs it; empty for an engine that is always there.
    """

    name: str
    distribution: str
    format: Format
    precisions: tuple[str, ...]
    devices: tuple[str, ...]
    start: Callable[[], None]
    load: Callable[[Artifact, int, str], Loaded]
    why_not: Callable[[], str | None] = lambda: None
    takes_parts: bool = False
    extra: str = ""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Network:
    """A `PreparedNetwork` of this process.

    Attributes:
        engine: name of its engine.
        run: runs the network.
        memory_mb: memory in 10⁶ bytes, measured around loading and warming up; without mapped weights.
        mapped: weights that it shares with others; None where it has none.
        until: runs a network that makes its output step by step; None for others.
    """

    engine: str
    run: Run
    memory_mb: float
    mapped: Mapped | None
    until: RunInSteps | None = None

    def __call__(self, x: NDArray[Any], stop: Stop | None = None) -> Output:
        """Return the network's output for one input.

        Args:
            x: the input.
            stop: asked before each step of a network that makes its output step by step; others run to their end.

        Raises:
            StoppedError: if `stop` ended the run.
        """
        return self.run(x) if stop is None or self.until is None else self.until(x, stop)


def as_taken(x: NDArray[np.float32], artifact: Artifact) -> NDArray[Any]:
    """Return an input with numbers of the type that a file takes."""
    return x.astype(artifact.input_type, copy=False)


def as_wanted(made: Sequence[Any], artifact: Artifact) -> Output:
    """Return a network's one output, or several with their names."""
    return Outputs(artifact.outputs, made) if len(artifact.outputs) > 1 else made[0]


def footprint_mb(networks: Iterable[PreparedNetwork]) -> float:
    """Return the memory of several networks in 10⁶ bytes, with weights that they share counted once.

    Two networks of 3 MB each that share weights of 10 MB take 16 MB.
    """
    own, shared = 0.0, set()
    for network in networks:
        own += network.memory_mb
        if isinstance(network, Network) and network.mapped is not None:
            shared.add(network.mapped)
    return own + sum(mapped.mb for mapped in shared)


def private_mb() -> float:
    """Return the memory in 10⁶ bytes that this process alone has written to.

    Mapped files do not count. The kernel takes a page of a file that one process maps twice for shared, so a process's
    unique set size would fall when a second network maps the weights of the first.
    """
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError("the kernel does not say how much memory this process uses")


def return_large_blocks() -> None:
    """Make the C library give large blocks back at once, instead of keeping them for its threads (glibc only).

    A worker prepares networks on separate threads, and each would leave a heap of the size of a network behind.
    """
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)


def release_memory() -> None:
    """Give the memory of dropped networks back to the system (glibc only; with another C library it does nothing)."""
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
