"""Pinning of a process's threads to CPUs. It knows no boards and no applications.

`sched_setaffinity` moves one thread; the others keep the mask with which they were created. So all threads in
`/proc/PID/task` are moved, again as long as new ones appear, and the kernel is then asked where they are.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import cache

_NICENESS = 5
"""Niceness that is added to a thread that works aside."""
_ROUNDS = 50
"""Most walks over a process's threads; no process of gearshift starts threads faster than so many can follow."""


class PinError(RuntimeError):
    """The threads of a process could not be moved to the CPUs where they should be."""


def pin(pid: int, cpus: Collection[int]) -> tuple[int, ...]:
    """Move every thread of a process to these CPUs.

    Args:
        pid: number of the process.
        cpus: the kernel's numbers of the CPUs.

    Returns:
        The CPUs on which every thread may run now, rising, as read back from the kernel.

    Raises:
        PinError: if the process is gone, a CPU may not be used, or a thread did not move.
    """
    wanted = frozenset(cpus)
    # Only a walk that finds every thread in its place ends this. A thread that was started meanwhile may have the old
    # mask, and a successful call is no proof: another process may have moved the thread since.
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
    """Return the CPUs on which each thread of a process may run, by thread id, as the kernel says.

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
    """Have this thread work where it disturbs the other threads of this process least; it should end afterwards.

    It goes to those of the CPUs on which the main thread may not run, if there are any, and becomes nicer. Threads
    that are started in this process meanwhile end up like all others: on the main thread's CPUs, and as nice as this
    thread was before.

    For example, with CPUs 0 to 3 and a main thread on 0 and 1, this thread works on 2 and 3.

    Args:
        cpus: the kernel's numbers of the CPUs that the process may use.
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
        # An engine starts its threads while a network is prepared, and they inherit this thread's CPUs and niceness.
        # They will serve requests, so they are moved to the main thread's CPUs and made less nice again.
        here = {*before, threading.get_native_id()}
        for tid in gather(here, lambda: os.sched_getaffinity(os.getpid())):
            with suppress(ProcessLookupError):
                if _niceness_can_be_shed():
                    os.setpriority(os.PRIO_PROCESS, tid, niceness)


def threads() -> set[int]:
    """Return the kernel's numbers of this process's threads."""
    return {int(name) for name in os.listdir("/proc/self/task")}


def gather(here: Collection[int], cpus: Callable[[], Collection[int]]) -> set[int]:
    """Move threads of this process to CPUs, and those that they start meanwhile.

    Args:
        here: threads that stay where they are.
        cpus: returns the kernel's numbers of the CPUs; asked for each thread, since they may change meanwhile.

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
    """Return True if the kernel lets this process make a thread less nice again.

    Else a thread must not become nicer in the first place: the threads that an engine starts inherit its niceness.
    """
    # Tried on a thread that ends, since one that became nicer might have to stay so.
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
