"""Execution engines: turn an exported sub-network into something that runs. Knows no torch.

Preparing (reading, optimising, warming up) takes up to seconds and belongs off the request path; what comes back is
called once a request.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from supernets.artifact import Artifact
from supernets.errors import SupernetError, did_you_mean

_WARM_UP_RUNS = 3

# Errors and nothing less: the warnings speak of optimisations that the user can't act on.
onnxruntime.set_default_logger_severity(3)


class Prepared(Protocol):
    """A sub-network ready to run, on a fixed number of threads."""

    def __call__(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """The network's output for one input of `Artifact.input_shape`."""
        ...


def prepare(artifact: Artifact, engine: str = "auto", threads: int = 1) -> Prepared:
    """Loads a sub-network into an engine and warms it up.

    Args:
        artifact: what to load.
        engine: one of `names()`; `auto` is ONNX Runtime.
        threads: threads that compute, the caller's among them. Threads beyond the caller's inherit its affinity.

    Raises:
        SupernetError: for an unknown engine, or a file that the engine can't load.
    """
    name = "onnxruntime" if engine == "auto" else engine
    if name not in _ENGINES:
        raise SupernetError(f"engine {engine!r} is unknown. {did_you_mean(engine, ['auto', *_ENGINES])}")
    prepared = _ENGINES[name](artifact, threads)
    blank = np.zeros(artifact.input_shape, dtype=np.float32)
    for _ in range(_WARM_UP_RUNS):
        prepared(blank)
    return prepared


def names() -> tuple[str, ...]:
    """The engines that can be named."""
    return tuple(_ENGINES)


def engine_version(engine: str = "auto") -> str:
    """Name and version of an engine, as profiles are keyed by."""
    name = "onnxruntime" if engine == "auto" else engine
    return f"{name} {version(name)}"


def open_model(path: str, threads: int = 1) -> onnxruntime.InferenceSession:
    """An ONNX Runtime session on the CPU, in float32 and with its own optimisations.

    Raises:
        SupernetError: if the file is no model that the engine can load.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # A pool that spins between requests keeps a core busy that another application may have (docs/decisions.md).
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the engine raises a class of its own for each way a file can be bad
        reason = " ".join(str(error).split())[:200]
        raise SupernetError(f"{path} is not a model that ONNX Runtime can load: {reason}") from error


def _onnxruntime(artifact: Artifact, threads: int) -> Prepared:
    session = open_model(artifact.path, threads)
    name = session.get_inputs()[0].name
    outputs = [session.get_outputs()[0].name]

    def run(x: NDArray[np.float32]) -> NDArray[np.float32]:
        y: NDArray[np.float32] = session.run(outputs, {name: x})[0]
        return y

    return run


_ENGINES: dict[str, Callable[[Artifact, int], Prepared]] = {"onnxruntime": _onnxruntime}
