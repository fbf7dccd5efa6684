"""Dynamic networks: one set of weights, many sub-networks, each exported and run at full speed.

Importing this package imports no torch.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import gettempdir

from supernets import engines
from supernets.artifact import Artifact
from supernets.catalog import check_name, load, names, task_of
from supernets.engines import PreparedNetwork
from supernets.errors import SupernetError
from supernets.exporting import export
from supernets.ofa.space import Architecture, Space
from supernets.subnet import SubNet
from supernets.supernet import Supernet


def prepare(net: Supernet, subnet: SubNet, engine: str = "auto", threads: int = 1) -> PreparedNetwork:
    """Exports a sub-network and prepares it in one step.

    Args:
        net: whose weights.
        subnet: which sub-network.
        engine: as for `engines.prepare`.
        threads: as for `engines.prepare`.
    """
    return engines.prepare(export(net, subnet, Path(gettempdir()) / "gearshift-export"), engine, threads)


__all__ = [
    "Architecture",
    "Artifact",
    "PreparedNetwork",
    "Space",
    "SubNet",
    "Supernet",
    "SupernetError",
    "check_name",
    "engines",
    "export",
    "load",
    "names",
    "prepare",
    "task_of",
]
