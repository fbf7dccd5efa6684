"""The CUDA devices of this machine, as torch sees them. Asked in a process of its own: asking makes CUDA start."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache

_ASK = """
import json, torch
print(json.dumps([torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]))
"""


@cache
def cuda_devices() -> tuple[str, ...]:
    """Their names by number; none where there is no GPU, no driver, or none that fits this torch."""
    asked = subprocess.run([sys.executable, "-c", _ASK], capture_output=True, text=True, check=False)
    return tuple(json.loads(asked.stdout)) if asked.returncode == 0 else ()


def device_name(device: str) -> str:
    """What a device of torch's, such as `cuda:0`, is called; its own name where it is no CUDA device."""
    kind, _, number = device.partition(":")
    return cuda_devices()[int(number)] if kind == "cuda" else device
