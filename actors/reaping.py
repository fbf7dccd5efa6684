"""Clean-up after runs: whatever a run has left is found by its tag, once its driver is known to be dead.

Every process of a run carries the run's tag in its environment, and every directory carries it in its name. The tag
names the driver (`actors.identity`). So a start finds and removes what a killed driver left, and leaves alone the Ray
of another program and all runs that it can't see: those of another container that shares `/tmp` or `/dev/shm`.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from actors.identity import Identity
from actors.run_places import PREFIX, RAY, bases

TAG = "GEARSHIFT_RUN"
"""Variable of the environment that carries the tag."""

TAG_DIGITS = 2
"""Characters of a tag behind its driver's identity, which tell two sessions of one driver apart."""

_PROC = Path("/proc")
_ENDED_S = 2.0
"""Longest wait for processes that were killed."""


def driver_of(tag: str) -> Identity | None:
    """Return the driver that a tag names; None for a text that is no tag of gearshift's."""
    return Identity.of(tag[:-TAG_DIGITS]) if tag[-TAG_DIGITS:].isalnum() else None


def reap_dead_runs() -> int:
    """End the processes and remove the directories of runs whose driver is dead.

    Returns:
        The number of processes that were ended.
    """
    # A dead run may have left processes without directories, or directories without processes: look for both.
    tags = {tag for _, tag in tagged_processes()}
    for base in bases():
        with contextlib.suppress(OSError):
            tags |= {name.removeprefix(PREFIX) for name in os.listdir(base) if name.startswith(PREFIX)}
    ended = 0
    for tag in tags:
        driver = driver_of(tag)
        if driver and driver.seen() == "dead":
            ended += end_processes(tag, grace_s=0.0)
            remove_directories(tag)
    return ended


def watch_driver(on_death: Callable[[], object]) -> None:
    """End this process, an actor's, when the driver of its run dies.

    Args:
        on_death: called first; errors that it raises are ignored.
    """
    driver = driver_of(os.environ.get(TAG, ""))
    if driver is None or driver.seen() == "unseen":
        return

    def watch() -> None:
        with contextlib.suppress(ProcessLookupError):
            # A file of the process becomes readable when it dies. It is opened before the look at whether the driver
            # lives: from then on the number can't mean a later process.
            process = os.pidfd_open(driver.pid)
            if driver.seen() == "alive":
                select.select([process], [], [])
        with contextlib.suppress(Exception):
            on_death()
        os._exit(1)

    threading.Thread(target=watch, name="watch-driver", daemon=True).start()


def tagged_processes() -> Iterator[tuple[int, str]]:
    """Yield the number of every other process that carries a tag, with the tag."""
    for name in os.listdir(_PROC):
        if name.isdigit() and int(name) != os.getpid() and (tag := _tag(int(name))):
            yield int(name), tag


def end_processes(tag: str, grace_s: float) -> int:
    """Wait for the processes of a run to end, and kill those that don't.

    Args:
        tag: tag of the run.
        grace_s: time to end by themselves, in seconds.

    Returns:
        The number of processes that were killed.
    """
    deadline = time.monotonic() + grace_s
    while True:
        left = [pid for pid, found in tagged_processes() if found == tag]
        if not left or time.monotonic() >= deadline:
            break
        time.sleep(0.1)
    killed = [process for pid in left if (process := _kill(pid, tag)) is not None]
    deadline = time.monotonic() + _ENDED_S
    for process in killed:
        poll = select.poll()  # unlike `select.select` it takes descriptors above 1,023
        poll.register(process, select.POLLIN)
        poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
        os.close(process)
    return len(killed)


def remove_directories(tag: str) -> None:
    """Remove the directories of a run, and the links to them."""
    name = f"{PREFIX}{tag}"
    for base in bases():
        path = base / name
        for link in (path, path / RAY):
            with contextlib.suppress(OSError):
                linked = Path(os.readlink(link)).parent
                os.unlink(link)
                if linked.name == name:  # a place among the temporary files that this process may not have
                    shutil.rmtree(linked, ignore_errors=True)
        shutil.rmtree(path, ignore_errors=True)


def _tag(pid: int) -> str:
    """Return the tag that a process carries; nothing if none, or if it may not be seen."""
    try:
        environment = (_PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return ""
    begin = f"{TAG}=".encode()
    found = next((entry for entry in environment.split(b"\0") if entry.startswith(begin)), b"")
    return found[len(begin) :].decode("ascii", "replace")


def _kill(pid: int, tag: str) -> int | None:
    """Kill a process of a run, and return a file of it that is readable once it is gone; None if it is gone already."""
    with contextlib.suppress(OSError):
        process = os.pidfd_open(pid)
        # Its number may have come to be another's since it was listed; from here on it can't.
        with contextlib.suppress(OSError):
            if _tag(pid) == tag:
                signal.pidfd_send_signal(process, signal.SIGKILL)
                return process
        os.close(process)
    return None
