"""A model of the kernel behind the tree of files that gearshift's device layer reads and writes; see `kernel`."""

from . import boards
from .affinity import FakeAffinity
from .files import dump, snapshot
from .kernel import FakeKernel, Write
from .remote import RemoteAffinity, RemoteTree, serve
from .tree import FakeTree

__all__ = [
    "FakeAffinity",
    "FakeKernel",
    "FakeTree",
    "RemoteAffinity",
    "RemoteTree",
    "Write",
    "boards",
    "dump",
    "serve",
    "snapshot",
]
