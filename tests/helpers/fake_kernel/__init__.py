"""A model of the kernel behind the tree of files that gearshift's device layer reads and writes; see `kernel`."""

from . import boards
from .kernel import FakeKernel, Write
from .tree import FakeTree

__all__ = ["FakeKernel", "FakeTree", "Write", "boards"]
