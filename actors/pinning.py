"""Where the threads of a process may run, asked of the kernel and told to it. Knows no boards and no applications.

`sched_setaffinity` moves one thread; the others keep the mask they were created with. So all threads in
`/proc/PID/task` are moved, again while new ones appear, and then read back.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import cache

_NICENESS = 5
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


@contextmanager
def aside(cpus: Collection[int]) -> Iterator[None]:
    """Has this thread, which ends afterwards, work where it is in the way of this process's other threads least.

    It goes to those of the CPUs on which the main thread may not run, if there are any, and becomes nicer. Threads
    that are started meanwhile in this process end up as others that it starts: on the main thread's CPUs, as nice as
    this thread was.

    Args:
        cpus: the kernel's numbers of those that the process may use.
    """
    before = threads()
    niceness = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    with suppress(OSError):  # they may have been taken from the process since
        os.sched_setaffinity(0, set(cpus) - os.sched_getaffinity(os.getpid()) or cpus)
    if _niceness_can_be_shed():
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness + _NICENESS)
    try:
        yield
    finally:
        here = {*before, threading.get_native_id()}
        for tid in gather(here, lambda: os.sched_getaffinity(os.getpid())):
            with suppress(ProcessLookupError):
                if _niceness_can_be_shed():
                    os.setpriority(os.PRIO_PROCESS, tid, niceness)


def threads() -> set[int]:
    """The kernel's numbers of this process's threads."""
    return {int(name) for name in os.listdir("/proc/self/task")}


def gather(here: Collection[int], cpus: Callable[[], Collection[int]]) -> set[int]:
    """Moves the threads of this process that are not `here` to those CPUs, and those that they start meanwhile.

    Returns:
        The threads that were moved.
    """
    moved: set[int] = set()
    while new := threads() - moved - {*here}:
        for tid in new:
            with suppress(ProcessLookupError):
                os.sched_setaffinity(tid, cpus())
        moved |= new
    return moved


@cache
def _niceness_can_be_shed() -> bool:
    """Whether the kernel lets this process make a thread less nice: what an engine starts inherits its starter's."""
    answer: list[bool] = []

    def try_it() -> None:
        me = threading.get_native_id()
        niceness = os.getpriority(os.PRIO_PROCESS, me)
        os.setpriority(os.PRIO_PROCESS, me, niceness + 1)
        try:
            os.setpriority(os.PRIO_PROCESS, me, niceness)
        except PermissionError:
            answer.append(False)
        else:
            answer.append(True)

    trial = threading.Thread(target=try_it)
    trial.start()
    trial.join()
    return answer[0]
