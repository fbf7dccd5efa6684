"""Threads of the fake kernel keep, lose and regain CPUs as those of a real one did."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import pytest

from helpers.fake_kernel import FakeAffinity, FakeTree, RemoteAffinity, RemoteTree, boards, serve
from helpers.fake_kernel.answers import turn

ALL = {0, 1, 2, 3}


def machine(cpuset: set[int] | None = None, *, real: bool = False) -> tuple[FakeAffinity, Callable[[int, int], str]]:
    """Return the masks of a machine with four CPUs, and a call that switches one."""
    kernel = boards.bed_amd64()
    tree = FakeTree(kernel)
    affinity = FakeAffinity(kernel, cpuset=cpuset, real=real)
    return affinity, lambda cpu, on: turn(tree, f"sys/devices/system/cpu/cpu{cpu}/online", on)


def refused(affinity: FakeAffinity, cpus: set[int]) -> bool:
    with pytest.raises(OSError, match="Invalid argument"):
        affinity.set(1, cpus)
    return True


def test_a_thread_whose_cpu_goes_may_run_anywhere_and_gets_nothing_back() -> None:
    affinity, switch = machine()
    affinity.set(1, {1})
    affinity.set(2, {2, 1})
    switch(1, 0)
    assert affinity.get(1) == {0, 2, 3}
    assert affinity.get(2) == {2}
    switch(1, 1)
    assert affinity.get(1) == ALL
    assert affinity.get(2) == {1, 2}, "one that had another CPU left keeps its mask"


def test_a_thread_is_set_to_those_that_are_online() -> None:
    affinity, switch = machine()
    switch(1, 0)
    assert affinity.online() == {0, 2, 3}
    assert refused(affinity, {1})
    affinity.set(1, {0, 1})
    assert affinity.get(1) == {0}
    switch(1, 1)
    assert affinity.get(1) == {0}, "and stays so"


def test_a_thread_that_sleeps_has_no_cpu_until_it_wakes() -> None:
    affinity, switch = machine()
    affinity.set(1, {1})
    affinity.asleep.add(1)
    switch(1, 0)
    assert affinity.get(1) == set()
    affinity.wake(1)
    assert affinity.get(1) == {0, 2, 3}


def test_a_cpuset_is_restored_and_forgets_what_was_set_in_it() -> None:
    affinity, switch = machine(cpuset={1, 2})
    assert affinity.get(1) == {1, 2}
    assert refused(affinity, {0})
    affinity.set(1, {1})
    switch(1, 0)
    assert affinity.get(1) == {2}
    switch(2, 0)
    assert affinity.get(1) == {0, 3}, "a set without CPUs has its parent's"
    for cpu in (1, 2):
        switch(cpu, 1)
    assert affinity.get(1) == {1, 2}


def test_thread_0_is_the_one_that_asks() -> None:
    affinity, _ = machine()
    affinity.set(0, {2})
    assert affinity.get(0) == affinity.get(threading.get_native_id()) == {2}
    with serve(affinity.kernel) as address:
        remote = RemoteAffinity(RemoteTree(address))
        assert remote.get(0) == {2}
        remote.set(0, {1, 3})
    assert affinity.get(threading.get_native_id()) == {1, 3}


def test_real_threads_are_pinned_as_well_from_any_process() -> None:
    affinity, switch = machine(real=True)
    started, ended = threading.Event(), threading.Event()
    tids: list[int] = []

    def work() -> None:
        tids.append(threading.get_native_id())
        started.set()
        ended.wait()

    worker = threading.Thread(target=work)
    worker.start()
    started.wait()
    here = sorted(os.sched_getaffinity(0))
    with serve(affinity.kernel) as address:
        remote = RemoteAffinity(RemoteTree(address))
        remote.set(tids[0], {3})
        assert os.sched_getaffinity(tids[0]) == {here[3 % len(here)]}
        assert remote.get(tids[0]) == {3}
        switch(3, 0)
        assert remote.get(tids[0]) == remote.online() == {0, 1, 2}
        assert os.sched_getaffinity(tids[0]) == {*here[:4]}
        ended.set()
        worker.join()
        with pytest.raises(ProcessLookupError):
            remote.set(2**22 + 1, {0})
