"""Where the threads of a process may run, asked of the kernel and told to it. Knows no boards and no applications.

`sched_setaffinity` moves one thread; the others keep the mask they were created with. So all threads in
`/proc/PID/task` are moved, again while new ones appear, and then read back.
"""

from __future__ import annotations

import os
from collections.abc import Collection

_ROUNDS = 50  # a process that starts threads faster than this many walks can follow is not ours


class PinError(RuntimeError):
    """The kernel did not put a process's threads where they should be."""


def pin(pid: int, cpus: Collection[int]) -> tuple[int, ...]:
    """Moves every thread of a process to these CPUs.

    Args:
        pid: the process.
        cpus: the kernel's numbers.

    Returns:
        The CPUs that every thread is allowed now, as read from the kernel.

    Raises:
        PinError: if the process is gone, a CPU may not be used, or a thread did not move.
    """
    wanted = frozenset(cpus)
    for _ in range(_ROUNDS):
        strays = [tid for tid, now in allowed(pid).items() if frozenset(now) != wanted]
        if not strays:
            return tuple(sorted(wanted))
        for tid in strays:
            try:
                os.sched_setaffinity(tid, wanted)
            except ProcessLookupError:
                continue  # the thread ended meanwhile
            except OSError as error:
                raise PinError(
                    f"thread {tid} of process {pid} cannot be moved to CPUs {sorted(wanted)}: {error}"
                ) from None
    raise PinError(f"threads of process {pid} do not stay on CPUs {sorted(wanted)}: {allowed(pid)}")


def allowed(pid: int) -> dict[int, tuple[int, ...]]:
    """The CPUs that each thread of a process may run on, by thread id, as the kernel says.

    Raises:
        PinError: if the process is gone.
    """
    try:
        tids = [int(name) for name in os.listdir(f"/proc/{pid}/task")]
    except (FileNotFoundError, ProcessLookupError):
        tids = []
    masks = {}
    for tid in tids:
        try:
            masks[tid] = tuple(sorted(os.sched_getaffinity(tid)))
        except ProcessLookupError:
            continue  # the thread ended meanwhile
    if not masks:
        raise PinError(f"process {pid} is gone")
    return masks
