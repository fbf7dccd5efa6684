"""Dynamic networks: one set of weights and many sub-networks, each of which is exported and run at full speed.

Importing this package imports no torch.
"""

from __future__ import annotations

import os

# Since 1.29 ONNX Runtime tells Microsoft which models it opens, on Linux too, unless this is set before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from supernets import engines
from supernets.artifact import Artifact
from supernets.catalog import check_name, inputs_of, load, names, task_of
from supernets.engines import PreparedNetwork
from supernets.errors import SupernetError
from supernets.exporting import export
from supernets.ofa.space import Architecture, Space
from supernets.pictures.inputs import own_inputs
from supernets.pictures.preparing import Images
from supernets.subnet import SubNet
from supernets.supernet import Supernet

__all__ = [
    "Architecture",
    "Artifact",
    "Images",
    "PreparedNetwork",
    "Space",
    "SubNet",
    "Supernet",
    "SupernetError",
    "check_name",
    "engines",
    "export",
    "inputs_of",
    "load",
    "names",
    "own_inputs",
    "task_of",
]
