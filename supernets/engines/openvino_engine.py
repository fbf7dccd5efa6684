"""OpenVINO on the CPU, in float32 unless the artifact says otherwise.

OpenVINO takes memory and time, so it is imported when it is first used. At its first use in a process it counts the
CPUs that the process's main thread may run on, and keeps that number.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from supernets import cpus
from supernets.artifact import Artifact
from supernets.engines.common import Engine, Loaded, as_taken, as_wanted
from supernets.errors import SupernetError
from supernets.outputs import Output

if TYPE_CHECKING:
    import openvino

_ONLINE = Path("/sys/devices/system/cpu/online")
_TRIAL = f"""
import os, numpy, openvino
os.sched_setaffinity(0, {cpus.ALL})
x = openvino.opset13.parameter([1, 4], numpy.float32)
model = openvino.Model([openvino.opset13.relu(x)], [x])
openvino.Core().compile_model(model, "CPU", {{"INFERENCE_NUM_THREADS": 1}})(numpy.zeros((1, 4), numpy.float32))
"""
_TRIAL_S = 60
"""Longest trial in seconds; one takes a second or two."""
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
    # Its binding can't decode an error of its own that holds a name which is not UTF-8.
    except (RuntimeError, UnicodeDecodeError) as error:
        raise SupernetError(f"{artifact.path} is not a model that OpenVINO can load: {_reason(error)}") from error
    request = compiled.create_infer_request()

    def run(x: NDArray[np.float32]) -> Output:
        # The input is read in place. The output is copied, since the next request writes to the same memory.
        made = request.infer([as_taken(x, artifact)], share_inputs=True, share_outputs=False)
        return as_wanted([made[port] for port in wanted], artifact)

    return Loaded(run=run)


def _reason(error: Exception) -> str:
    """Return what OpenVINO says of a failure, without the places in its own source."""
    lines = [line.strip() for line in str(error).splitlines()]
    said = [line for line in lines if line and not line.startswith(("Exception from", "Check '"))]
    return " ".join(said or lines)[:200]


def why_not() -> str | None:
    """Return why OpenVINO can't be used on this machine, in words that follow "can't be used here"; None if it can.

    OpenVINO takes CPUs to be numbered without gaps, and dies in a container (LXC) or on a board where they are not. So
    where they are not, a process of its own tries it first.
    """
    usable, online = cpus.usable(), _online()
    return _dies(usable, online) if usable != online or online != frozenset(range(len(online))) else None


def _online() -> frozenset[int]:
    """Return the numbers of the CPUs that sysfs calls online; none where it doesn't say."""
    try:
        parts = [part.split("-") for part in _ONLINE.read_text().strip().split(",")]
        return frozenset(cpu for part in parts for cpu in range(int(part[0]), int(part[-1]) + 1))
    except (OSError, ValueError):
        return frozenset()


@cache
def _dies(usable: frozenset[int], online: frozenset[int]) -> str | None:
    # It may die only when the process ends, of memory that it damaged.
    command = [sys.executable, "-c", _TRIAL]
    try:
        died = subprocess.run(command, capture_output=True, timeout=_TRIAL_S).returncode != 0
    except subprocess.TimeoutExpired:
        died = True
    if not died:
        return None
    return (
        f"OpenVINO dies of this machine's CPU numbers: this process may use CPUs {_listed(usable)}, and "
        f"{_ONLINE} has {_listed(online)}"
    )


def _listed(numbers: frozenset[int]) -> str:
    return ", ".join(map(str, sorted(numbers))) or "none"


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
    os.sched_setaffinity(main, cpus.ALL)
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
    why_not=why_not,
    extra="openvino",
)
