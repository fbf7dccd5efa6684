"""The board's lock: one run turns the knobs of a board at a time.

It is a lock of the kernel's on a file of sysfs that every machine has. So there is no directory to make and no stale
file to remove: the kernel frees it when the process ends, however it ends. It keeps out every process on the machine
but those in a container with a network name space of its own, which have another sysfs.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from actors.agent.devices.sysfs import Tree

_LOCKED = "sys/devices/system/cpu/online"


def lock_board(tree: Tree) -> Callable[[], None] | None:
    """Lock the board, for this process and its threads.

    Call it in the process that turns the knobs, after all forks: a child that has the file open keeps the lock alive.

    Returns:
        The call that unlocks it; None if another process has it.

    Raises:
        KnobError: if there is no such file.
    """
    return tree.lock(_LOCKED)


def owner_of_board(tree: Tree) -> int | None:
    """Return the process that has locked the board; None if none has, or if it can't be seen from this container."""
    return next(iter(owners_of(tree, _LOCKED)), None)


def owners_of(tree: Tree, path: str) -> list[int]:
    """Return the processes that have locked a file of the tree; those that can't be seen from here are left out."""
    owners: list[int] = []
    with suppress(OSError):
        status = tree.lock_file(path).stat()
        place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
        # A line is `5: FLOCK  ADVISORY  WRITE 12345 00:16:3564 0 EOF` (proc(5)); 0 is a process out of sight.
        for line in Path("/proc/locks").read_text().splitlines():
            words = line.split()
            if words[1] == "FLOCK" and place in words:
                pid = int(words[words.index(place) - 1])
                owners += [pid] if pid and pid not in owners else []
    return owners
