"""The CUDA devices of this machine, as torch sees them. Another process asks torch, because asking makes CUDA start."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from functools import cache
from pathlib import Path

from scheduler.errors import how_to_add

_ASK = """
import json, torch
devices = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
print(json.dumps([[device.name, str(device.uuid)] for device in devices]))
"""

_DRIVERS = ("nvidiactl", "nvmap", "nvhost-gpu", "dxg", "kfd")
"""Devices in /dev that a driver of such GPUs makes: NVIDIA's on PCs, its two on Jetsons, Windows' for Linux, AMD's."""


def has_gpu_driver() -> bool:
    """Return True if this machine has a driver for GPUs that torch calls CUDA devices; it takes no second to see."""
    return any(Path("/dev", name).exists() for name in _DRIVERS)


def cuda_uuids() -> tuple[str, ...]:
    """Return the UUIDs of the GPUs that they are, by number, as NVML has them: `GPU-5c6f0a12-...`.

    CUDA's numbers are not NVML's: unless told otherwise (CUDA_DEVICE_ORDER), CUDA's first is the fastest GPU, and
    CUDA_VISIBLE_DEVICES leaves some out.
    """
    return tuple(f"GPU-{uuid}" for _, uuid in _devices())


def cuda_devices() -> tuple[str, ...]:
    """Return their names, by number. There are none where there is no GPU, no driver, or none that fits this torch."""
    return tuple(name for name, _ in _devices())


def why_none() -> str:
    """Return why there is no CUDA device, where there is none, as a sentence without its dot."""
    if importlib.util.find_spec("torch") is None:
        return f"torch, which runs networks on GPUs, is not installed; {how_to_add('gpu')}"
    return "torch finds no CUDA device here"


@cache
def _devices() -> tuple[tuple[str, str], ...]:
    asked = subprocess.run([sys.executable, "-c", _ASK], capture_output=True, text=True, check=False)
    return tuple((name, uuid) for name, uuid in json.loads(asked.stdout)) if asked.returncode == 0 else ()


def device_name(device: str) -> str:
    """Return the product name of a torch device such as `cuda:0`; of one that is no CUDA device, the name given."""
    kind, _, number = device.partition(":")
    return cuda_devices()[int(number)] if kind == "cuda" else device
