"""torch, the reference on the CPU and the engine of CUDA devices. It is imported when it is first used.

On a CUDA device, weights, input and output keep their places in memory, and the kernels of one inference are recorded
once as a CUDA graph and replayed. Otherwise the launching of hundreds of small kernels would bound a batch of 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from supernets.artifact import Artifact
from supernets.engines.common import Engine, Loaded, Run
from supernets.errors import SupernetError

if TYPE_CHECKING:
    import torch

Step = Callable[[], "torch.Tensor"]
Capture = Callable[[Step], tuple[Callable[[], object], "torch.Tensor"]]
"""Records a computation on fixed buffers; returns a function that repeats it, and the tensor of its result."""

_SIDE_STREAM_RUNS = 3


def start() -> None:
    """Import torch and switch TF32 off."""
    import torch

    # TF32 has 10 bits of mantissa, so it is not float32. Both are set, since parts of torch refuse a mixture.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def load(artifact: Artifact, threads: int, device: str) -> Loaded:
    """Load a network from its exported program."""
    import torch

    where = torch.device(device)
    if where.type == "cuda" and not torch.cuda.is_available():
        raise SupernetError(f"device {device!r} can't be used: torch finds no CUDA device on this machine")
    module = _module(artifact).to(where)
    if where.type == "cpu":
        return Loaded(run=_on_cpu(module, artifact, threads))
    before = torch.cuda.memory_allocated(where)
    run = OnBuffers(module, artifact, where, _graph)
    return Loaded(run=run, device_mb=lambda: (torch.cuda.memory_allocated(where) - before) / 1e6)


def _module(artifact: Artifact) -> torch.nn.Module:
    import torch

    assert artifact.program is not None  # `format` below: no other artifact is given to `load`
    try:
        module = torch.export.load(artifact.program).module()
    except Exception as error:  # torch raises a class of its own for each way a file can be bad
        reason = " ".join(str(error).split())[:200]
        raise SupernetError(f"{artifact.program} is not a program that torch can load: {reason}") from error
    return module.to(getattr(torch, artifact.precision)).to(memory_format=torch.channels_last)


def _on_cpu(module: torch.nn.Module, artifact: Artifact, threads: int) -> Run:
    import torch

    dtype = getattr(torch, artifact.precision)
    compute = _in_precision(module, dtype, "cpu")

    def run(x: NDArray[np.float32]) -> NDArray[np.float32]:
        if torch.get_num_threads() != threads:  # each calling thread has a setting of its own
            torch.set_num_threads(threads)
        with torch.inference_mode():
            y = compute(_laid_out(torch.from_numpy(np.require(x, requirements="W")).to(dtype)))
            result: NDArray[np.float32] = y.float().numpy()
        return result

    return run


def _in_precision(module: torch.nn.Module, dtype: torch.dtype, device: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a function that runs a network with weights of a type.

    Where the type is not float32, the function casts the tensors that the exported program makes in float32.
    """
    import torch

    if dtype == torch.float32:
        return module

    def compute(x: torch.Tensor) -> torch.Tensor:
        with torch.autocast(device, dtype, cache_enabled=False):
            y: torch.Tensor = module(x)
        return y

    return compute


def _laid_out(x: torch.Tensor) -> torch.Tensor:
    """Return a tensor with its channels last in memory, where it has channels (n, c, h, w)."""
    import torch

    return x.to(memory_format=torch.channels_last) if x.dim() == 4 else x


class OnBuffers:
    """A network that reads one fixed input and writes one fixed output on its device; for one thread at a time.

    Args:
        module: the network, on the device and in its precision.
        artifact: its input shape and precision.
        device: device that it computes on.
        capture: records its work; as a CUDA graph, or in tests as anything that repeats it.
    """

    def __init__(self, module: torch.nn.Module, artifact: Artifact, device: torch.device, capture: Capture) -> None:
        import torch

        pinned = device.type == "cuda"  # the device copies by itself, so the memory must not be paged out
        dtype = getattr(torch, artifact.precision)
        self._host_x = torch.zeros(artifact.input_shape, pin_memory=pinned)
        self._host_x_array: NDArray[np.float32] = self._host_x.numpy()
        self._x = _laid_out(torch.zeros(artifact.input_shape, dtype=dtype, device=device))
        with torch.inference_mode():
            compute = _in_precision(module, dtype, device.type)
            self._replay, self._y = capture(lambda: compute(self._x))
        self._host_y = torch.zeros(self._y.shape, pin_memory=pinned)
        self._device = device

    def __call__(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the network's output for one input, in new memory."""
        import torch

        with torch.inference_mode():
            np.copyto(self._host_x_array, x)
            self._x.copy_(self._host_x, non_blocking=True)
            self._replay()
            self._host_y.copy_(self._y, non_blocking=True)
        if self._device.type == "cuda":
            torch.cuda.current_stream(self._device).synchronize()
        y: NDArray[np.float32] = self._host_y.numpy().copy()
        return y


def _graph(step: Step) -> tuple[Callable[[], object], torch.Tensor]:
    """Record a step as a CUDA graph, after some runs on a side stream as torch's documentation asks for."""
    import torch

    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(_SIDE_STREAM_RUNS):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    # Other threads run other networks meanwhile; their calls must not go into this graph.
    with torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local"):
        y = step()
    return graph.replay, y


TORCH = Engine(
    name="torch",
    distribution="torch",
    format="torch program",
    precisions=("float32", "bfloat16"),
    devices=("cpu", "cuda"),
    start=start,
    load=load,
    extra="gpu",
)
