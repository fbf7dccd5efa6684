"""The board's lock: one run turns the knobs of a board at a time.

It is a lock of the kernel's on a file of sysfs that every machine has. So there is no directory to make and no stale
file to remove: the kernel frees it when the process ends, however it ends. It keeps out every process on the machine
but those in a container with a network name space of its own, which have another sysfs.
"""

from __future__ import annotations

from collections.abc import Callable

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
