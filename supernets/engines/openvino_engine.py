"""OpenVINO on the CPU, in float32 unless the artifact says otherwise.

OpenVINO takes memory and time, so it is imported when it is first used. At its first use in a process it counts the
CPUs that the process's main thread may run on, and keeps that number.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from supernets.artifact import Artifact
from supernets.engines.common import Engine, Loaded
from supernets.errors import SupernetError

if TYPE_CHECKING:
    import openvino

_HINTS = {"float32": "f32", "bfloat16": "bf16"}


def start() -> None:
    """Import OpenVINO and let it count the CPUs."""
    _core()


def load(artifact: Artifact, threads: int, device: str) -> Loaded:
    """Compile a network, with one inference request."""
    settings = {
        "INFERENCE_PRECISION_HINT": _HINTS[artifact.precision],
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "ENABLE_CPU_PINNING": False,  # only the board agent pins threads
    }
    try:
        compiled = _core().compile_model(artifact.path, "CPU", settings)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise SupernetError(f"{artifact.path} is not a model that OpenVINO can load: {reason}") from error
    request = compiled.create_infer_request()

    def run(x: NDArray[np.float32]) -> NDArray[np.float32]:
        # The input is read in place. The output is copied, since the next request writes to the same memory.
        y: NDArray[np.float32] = request.infer([x], share_inputs=True, share_outputs=False)[0]
        return y

    return Loaded(run=run)


@cache
def _core() -> openvino.Core:
    """Return OpenVINO's core, with its CPU plug-in loaded while the main thread may run on all CPUs."""
    import openvino

    core = openvino.Core()
    with _main_thread_free():
        core.get_property("CPU", "FULL_DEVICE_NAME")
    return core


@contextmanager
def _main_thread_free() -> Iterator[None]:
    """Let the process's main thread run on all CPUs for a moment; undo that unless somebody else moves it meanwhile."""
    main = os.getpid()
    before = os.sched_getaffinity(main)
    os.sched_setaffinity(main, range(os.cpu_count() or 1))  # the kernel leaves out CPUs that the process may not use
    free = os.sched_getaffinity(main)
    try:
        yield
    finally:
        if os.sched_getaffinity(main) == free:
            os.sched_setaffinity(main, before)


OPENVINO = Engine(
    name="openvino",
    distribution="openvino",
    format="ONNX file",
    precisions=tuple(_HINTS),
    devices=("cpu",),
    start=start,
    load=load,
)
