"""A model of the kernel behind the tree of files that gearshift's device layer reads and writes; see `kernel`."""

from . import boards
from .files import dump, snapshot
from .kernel import FakeKernel, Write
from .remote import RemoteTree, serve
from .tree import FakeTree

__all__ = ["FakeKernel", "FakeTree", "RemoteTree", "Write", "boards", "dump", "serve", "snapshot"]
