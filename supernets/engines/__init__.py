"""Execution engines, which turn an exported sub-network into something that runs. Importing this imports no torch.

Preparing (reading, optimising, warming up) takes up to seconds and belongs off the request path; the prepared network
is called once a request. ONNX Runtime is always imported; OpenVINO and torch are imported when they are asked for.
"""

from __future__ import annotations

from supernets.engines.common import (
    Loaded,
    Mapped,
    Network,
    PreparedNetwork,
    StoppedError,
    footprint_mb,
    private_mb,
    release_memory,
    return_large_blocks,
)
from supernets.engines.onnxruntime_sessions import open_model
from supernets.engines.registry import able, candidates, engine_version, installed, names, prepare, unusable
from supernets.engines.trials import Trials, tried

__all__ = [
    "Loaded",
    "Mapped",
    "Network",
    "PreparedNetwork",
    "StoppedError",
    "Trials",
    "able",
    "candidates",
    "engine_version",
    "footprint_mb",
    "installed",
    "names",
    "open_model",
    "prepare",
    "private_mb",
    "release_memory",
    "return_large_blocks",
    "tried",
    "unusable",
]
