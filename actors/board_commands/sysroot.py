"""The files of another machine: what `--sysroot` names, a dump or a directory that stands for its `/`."""

from __future__ import annotations

import os
from pathlib import Path

from actors.agent.devices.sysfs import File, Tree
from actors.agent.devices.topology import online_cpus
from actors.board_commands.dump import INDEX, read_dump
from actors.board_commands.dump_tree import DumpTree
from scheduler.errors import InputError

_MOST_LINKS = 40
"""Most links that Linux follows in one path."""


class RootedTree(Tree):
    """The files of a directory, as they are for a process whose `/` it is.

    A link there to `/etc/nvpmodel/nvpmodel_t194.conf` means that file in the directory, and not this machine's.
    """

    def open(self, path: str, *, writing: bool = False) -> File:
        """Open a file; raises `OSError` as the kernel does."""
        return super().open(self.real(path), writing=writing)

    def names(self, directory: str) -> list[str]:
        """Return the names in a directory, cpu2 before cpu10; none if it is not there or may not be read."""
        return super().names(self.real(directory))

    def exists(self, path: str) -> bool:
        """Return True if there is a file or directory of that path."""
        return super().exists(self.real(path))

    def may(self, path: str, *, write: bool = False) -> bool:
        """Return True if this process may read, or write, a file that is there."""
        return super().may(self.real(path), write=write)

    def mode(self, path: str) -> int | None:
        """Return the permission bits of a file; None if it is not there."""
        return super().mode(self.real(path))

    def real(self, path: str) -> str:
        """Return a path without symbolic links, from the root of the tree."""
        here: list[str] = []
        left = path.split("/")[::-1]
        links = 0
        while left:
            name = left.pop()
            if name == "..":
                here = here[:-1]
            elif name not in ("", "."):
                try:
                    target = os.readlink(self.root.joinpath(*here, name))
                except OSError:  # no link, or not there
                    here.append(name)
                    continue
                links += 1
                if links > _MOST_LINKS:
                    return "/".join([*here, name])
                here = [] if target.startswith("/") else here
                left += target.split("/")[::-1]
        return "/".join(here)


def open_sysroot(path: Path) -> Tree:
    """Return the files of another machine: a dump of `gearshift doctor`, or a directory that stands for `/`.

    Raises:
        InputError: if it is neither.
    """
    if not path.exists():
        raise InputError(f"--sysroot {str(path)!r}: there is no such file or directory")
    packed = not path.is_dir() or (path / INDEX).exists()
    tree = DumpTree(read_dump(path), path) if packed else RootedTree(path)
    if not online_cpus(tree):
        raise InputError(
            f"--sysroot {str(path)!r}: its sys/devices/system/cpu/online lists no CPU; name the root of a machine, or "
            f"a report of gearshift doctor"
        )
    return tree
