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
from supernets.engines.common import Engine, Loaded, as_taken, as_wanted
from supernets.errors import SupernetError
from supernets.outputs import Output

if TYPE_CHECKING:
    import openvino

_CPU_NUMBERS = 8192
"""More CPUs than a kernel of Linux can be built for (MAXSMP of x86-64)."""
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
        wanted = [compiled.output(name) for name in artifact.outputs] or [compiled.output(0)]
    except RuntimeError as error:
        raise SupernetError(f"{artifact.path} is not a model that OpenVINO can load: {_reason(error)}") from error
    request = compiled.create_infer_request()

    def run(x: NDArray[np.float32]) -> Output:
        # The input is read in place. The output is copied, since the next request writes to the same memory.
        made = request.infer([as_taken(x, artifact)], share_inputs=True, share_outputs=False)
        return as_wanted([made[port] for port in wanted], artifact)

    return Loaded(run=run)


def _reason(error: RuntimeError) -> str:
    """Return what OpenVINO says of a failure, without the places in its own source."""
    lines = [line.strip() for line in str(error).splitlines()]
    said = [line for line in lines if line and not line.startswith(("Exception from", "Check '"))]
    return " ".join(said or lines)[:200]


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
    # The kernel leaves out CPUs that are not there, are offline or may not be used. Their count says nothing of their
    # numbers: a container may own CPU 24 alone.
    os.sched_setaffinity(main, range(_CPU_NUMBERS))
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
