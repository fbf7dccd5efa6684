"""Execution engines: turn an exported sub-network into something that runs. Importing this imports no torch.

Preparing (reading, optimising, warming up) takes up to seconds and belongs off the request path; what comes back is
called once a request. ONNX Runtime is always there; OpenVINO and torch are imported when they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from supernets.artifact import Artifact
from supernets.engines import onnxruntime_engine, openvino_engine, torch_engine
from supernets.engines.common import (
    Loaded,
    Mapped,
    Network,
    PreparedNetwork,
    footprint_mb,
    private_mb,
    release_memory,
    return_large_blocks,
)
from supernets.engines.onnxruntime_engine import open_model
from supernets.errors import SupernetError, known_options

_WARM_UP_RUNS = 3
_SETTINGS = 2
"""Counted up when an engine's settings change in a way that changes its speed: stored profiles depend on it."""


@dataclass(frozen=True, slots=True)
class _Engine:
    start: Callable[[], None]
    load: Callable[[Artifact, int, str], Loaded]
    precisions: tuple[str, ...]
    devices: tuple[str, ...]


_ENGINES = {
    "onnxruntime": _Engine(onnxruntime_engine.start, onnxruntime_engine.load, ("float32",), ("cpu",)),
    "openvino": _Engine(openvino_engine.start, openvino_engine.load, ("float32", "bfloat16"), ("cpu",)),
    "torch": _Engine(torch_engine.start, torch_engine.load, ("float32", "bfloat16"), ("cpu", "cuda")),
}
_AUTO = ("onnxruntime", "openvino")


def prepare(artifact: Artifact, engine: str = "auto", threads: int = 1, device: str = "cpu") -> Network:
    """Loads a sub-network into an engine and warms it up.

    Args:
        artifact: what to load.
        engine: one of `names()`; `auto` is the first of `candidates`, ONNX Runtime in float32.
        threads: threads that compute, the caller's among them. Threads beyond the caller's inherit its affinity.
        device: `cpu`, or `cuda:0` and so on.

    Raises:
        SupernetError: for an unknown engine, one that can't compute in the artifact's precision or on that device, or
            a file that the engine can't load.
    """
    name = candidates(artifact.precision)[0] if engine == "auto" else engine
    made = _engine(name)
    if artifact.precision not in made.precisions:
        able = ", ".join(other for other in _ENGINES if artifact.precision in _ENGINES[other].precisions)
        raise SupernetError(
            f"engine {name!r} can't compute in {artifact.precision}, as {artifact.subnet} is to; these can: {able}"
        )
    if device.partition(":")[0] not in made.devices:
        raise SupernetError(f"engine {name!r} has no device {device!r}, only {', '.join(made.devices)}")
    made.start()
    release_memory()
    before_mb = private_mb()
    loaded = made.load(artifact, threads, device)
    blank = np.zeros(artifact.input_shape, dtype=np.float32)
    for _ in range(_WARM_UP_RUNS):
        loaded.run(blank)
    if loaded.device_mb is not None:
        memory_mb = loaded.device_mb()
    else:
        release_memory()
        # Memory is reused before the system is asked for more, so a network can seem to cost nothing.
        least_mb = Path(artifact.path).stat().st_size / 1e6 if loaded.mapped is None else 0.0
        memory_mb = max(private_mb() - before_mb, least_mb)
    return Network(engine=name, run=loaded.run, memory_mb=memory_mb, mapped=loaded.mapped)


def names() -> tuple[str, ...]:
    """The engines that can be named."""
    return tuple(_ENGINES)


def candidates(precision: str = "float32") -> tuple[str, ...]:
    """The engines that `auto` chooses from, the one that it takes without a profile first."""
    return tuple(name for name in _AUTO if precision in _ENGINES[name].precisions)


def engine_version(engine: str = "auto") -> str:
    """Names and versions of an engine, or of those that `auto` chooses from, as profiles are keyed by.

    Raises:
        SupernetError: for an unknown engine.
    """
    for name in (chosen := _AUTO if engine == "auto" else (engine,)):
        _engine(name)
    return ", ".join(f"{name} {version(name)}" for name in chosen) + f", settings {_SETTINGS}"


def _engine(name: str) -> _Engine:
    if name not in _ENGINES:
        raise SupernetError(f"engine {name!r} is unknown. {known_options(name, ['auto', *_ENGINES])}")
    return _ENGINES[name]


__all__ = [
    "Loaded",
    "Mapped",
    "Network",
    "PreparedNetwork",
    "candidates",
    "engine_version",
    "footprint_mb",
    "names",
    "open_model",
    "prepare",
    "private_mb",
    "release_memory",
    "return_large_blocks",
]
