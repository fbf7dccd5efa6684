"""Pinning of a process's threads to CPUs. It knows no boards and no applications.

`sched_setaffinity` moves one thread; the others keep the mask with which they were created. So all threads in
`/proc/PID/task` are moved, again as long as new ones appear, and the kernel is then asked where they are.

CPUs go offline and come back. A thread none of whose CPUs is left may run anywhere from then on, and gets nothing back
when they return; a mask that is set while one of its CPUs is offline is without it for good. `repin` mends both.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import cache

from actors.affinity import Affinity, SystemAffinity
from actors.agent.devices.topology import CPU

_NICENESS = 5
"""Niceness that is added to a thread that works aside."""
_ROUNDS = 50
"""Most walks over a process's threads; no process of gearshift starts threads faster than so many can follow."""


class PinError(RuntimeError):
    """The threads of a process could not be moved to the CPUs where they should be."""


class GoneError(PinError):
    """The process has ended."""


def pin(pid: int, cpus: Collection[int], affinity: Affinity | None = None) -> tuple[int, ...]:
    """Move every thread of a process to those of these CPUs that are online.

    Args:
        pid: number of the process.
        cpus: the kernel's numbers of the CPUs.
        affinity: the kernel's masks; None for this machine's.

    Returns:
        The CPUs on which every thread may run now, rising, as read back from the kernel. Those that are missing are
        offline.

    Raises:
        PinError: if the process is gone, none of the CPUs is online or may be used, or a thread did not move.
    """
    affinity = affinity or SystemAffinity()
    away = sorted(set(cpus) - affinity.online())
    wanted = frozenset(cpus).difference(away)
    if away and not wanted:
        raise PinError(
            f"process {pid} cannot be pinned to CPUs {away}: they are offline. A power mode (nvpmodel) or hotplug "
            f"(/{CPU}/cpu{away[0]}/online) took them away"
        )
    # Only a walk that finds every thread in its place ends this. A thread that was started meanwhile may have the old
    # mask, and a successful call is no proof: another process may have moved the thread since.
    for _ in range(_ROUNDS):
        strays = _strays(pid, wanted, affinity)
        if not strays:
            return tuple(sorted(wanted))
        for tid in strays:
            try:
                affinity.set(tid, wanted)
            except ProcessLookupError:
                continue  # the thread ended meanwhile
            except OSError as error:
                raise PinError(
                    f"thread {tid} of process {pid} cannot be moved to CPUs {sorted(wanted)}: {error}. A cpuset of "
                    f"the process may not have them"
                ) from None
    raise PinError(
        f"threads of process {pid} do not stay on CPUs {sorted(wanted)}: {allowed(pid, affinity)}. A cpuset of the "
        f"process may not have all of them, a CPU may have gone offline (nvpmodel, hotplug), or another tool moves them"
    )


def has_strayed(pid: int, cpus: Collection[int], affinity: Affinity) -> bool:
    """Return True if the main thread of a process may run elsewhere than on these CPUs, or is gone; it is one call.

    Args:
        pid: number of the process.
        cpus: the CPUs online to which it was pinned; none if all of them are away, and then it can be nowhere else.
        affinity: the kernel's masks.
    """
    try:
        return bool(cpus) and frozenset(affinity.get(pid)) != frozenset(cpus)
    except ProcessLookupError:
        return True


def repin(pid: int, cpus: Collection[int], affinity: Affinity | None = None) -> tuple[int, ...] | None:
    """Pin a process again if the kernel has let threads of it go elsewhere, or has narrowed their CPUs.

    Args:
        pid: number of the process.
        cpus: the CPUs to which it was pinned.
        affinity: the kernel's masks; None for this machine's.

    Returns:
        The CPUs on which those threads could run; None if all are where they should be, or if none of the CPUs is
        online, so that they can be nowhere else.

    Raises:
        PinError: as `pin` does.
    """
    affinity = affinity or SystemAffinity()
    wanted = affinity.online().intersection(cpus)
    if not wanted:
        return None
    strays = _strays(pid, wanted, affinity)
    if not strays:
        return None
    pin(pid, wanted, affinity)
    return tuple(sorted({cpu for mask in strays.values() for cpu in mask}))


def allowed(pid: int, affinity: Affinity | None = None) -> dict[int, tuple[int, ...]]:
    """Return the CPUs online on which each thread of a process may run, by thread id, as the kernel says.

    Args:
        pid: number of the process.
        affinity: the kernel's masks; None for this machine's.

    Raises:
        GoneError: if the process is gone.
    """
    affinity = affinity or SystemAffinity()
    try:
        tids = [int(name) for name in os.listdir(f"/proc/{pid}/task")]
    except (FileNotFoundError, ProcessLookupError):
        tids = []
    masks = {}
    for tid in tids:
        with suppress(ProcessLookupError):
            masks[tid] = tuple(sorted(affinity.get(tid)))
    if not masks:
        raise GoneError(f"process {pid} is gone")
    return masks


def _strays(pid: int, cpus: frozenset[int], affinity: Affinity) -> dict[int, tuple[int, ...]]:
    """Return the masks of the threads that may not run on exactly these CPUs."""
    return {tid: mask for tid, mask in allowed(pid, affinity).items() if frozenset(mask) != cpus}


@contextmanager
def aside(cpus: Collection[int], preferred: Collection[int] = ()) -> Iterator[None]:
    """Have this thread work where it disturbs the other threads of this process least; it should end afterwards.

    It goes to the CPUs of `cpus_aside` and becomes nicer. Threads that are started in this process meanwhile end up
    like all others: on the main thread's CPUs, and as nice as this thread was before.

    Args:
        cpus: the kernel's numbers of the CPUs that the process may use.
        preferred: those of them that are to be used first.
    """
    before = threads()
    niceness = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    with suppress(OSError):  # they may have been taken from the process since
        os.sched_setaffinity(0, cpus_aside(cpus, os.sched_getaffinity(os.getpid()), preferred))
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


def cpus_aside(cpus: Collection[int], main: Collection[int], preferred: Collection[int]) -> set[int]:
    """Return the CPUs for a thread that is to disturb the main thread least.

    Of CPUs 0 to 3 with a main thread on 0 and 1 they are 2 and 3, and 2 alone where 0 and 2 are preferred.

    Args:
        cpus: those that the process may use.
        main: those on which the main thread may run.
        preferred: those to take before the others.
    """
    free = {*cpus}.difference(main)
    return free.intersection(preferred) or free or {*cpus}


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
