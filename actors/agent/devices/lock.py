"""The board's lock: one run turns the knobs of a board at a time.

It is a lock of the kernel's on a file of sysfs that every machine has. So there is no directory to make and no stale
file to remove: the kernel frees it when the process ends, however it ends. It keeps out every process on the machine
but those in a container with a network name space of its own, which have another sysfs.
"""

from __future__ import annotations

from collections.abc import Callable

from actors.agent.devices.sysfs import DeviceError, Tree

_LOCKED = "sys/devices/system/cpu/online"


class BoardBusyError(DeviceError):
    """Another process turns the knobs of this board."""


def lock_board(tree: Tree) -> Callable[[], None]:
    """Lock the board, for this process and its threads.

    Call it in the process that turns the knobs, after all forks: a child that has the file open keeps the lock alive.

    Returns:
        The call that unlocks it.

    Raises:
        BoardBusyError: if another process has it.
        KnobError: if there is no such file.
    """
    unlock = tree.lock(_LOCKED)
    if unlock is None:
        raise BoardBusyError("another run is using this board")
    return unlock
