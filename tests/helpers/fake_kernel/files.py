"""The files of a fake kernel as files of this machine, and as one dictionary."""

from __future__ import annotations

import os
from pathlib import Path

from .kernel import FakeKernel
from .nodes import File, Link


def dump(kernel: FakeKernel, directory: Path) -> None:
    """Write the tree as plain files and relative links, as a user who copied it would have got it.

    What the kernel's user may not read, and what cannot be read now, is left out.

    Args:
        kernel: the kernel; its `root` says who copies.
        directory: where to; it stands for `/`.
    """
    for path, node in kernel.files():
        to = directory / path
        if isinstance(node, Link):
            to.parent.mkdir(parents=True, exist_ok=True)
            to.symlink_to(os.path.relpath(directory / node.target, to.parent))
            continue
        try:
            content = kernel.show(*kernel.open(path, writing=False, root=kernel.root))
        except OSError:
            continue
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes(content)


def snapshot(kernel: FakeKernel) -> dict[str, bytes | int]:
    """Return what every file reads that can be written, or the number of its error, by its path without links.

    Two snapshots are equal if every file is as it was. A clock under a governor that follows the load is none of them.
    """
    found: dict[str, bytes | int] = {}
    for path, node in kernel.files():
        if isinstance(node, File) and node.store is not None and node.show is not None:
            try:
                found[path] = kernel.read(path)
            except OSError as error:
                found[path] = error.errno or 0
    return found
