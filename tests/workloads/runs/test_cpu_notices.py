"""Before a run, a user is told which of the board's CPUs are isolated, and that a quota holds CPU time."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from actors.agent.machine import Machine
from actors.cluster import packaged_board
from helpers.fake_kernel import FakeAffinity, FakeTree, boards
from scheduler.board import Board
from workloads.runs.boards import cpu_notices
from workloads.runs.host import cpus_to_watch


def board(*cpus: int) -> Board:
    two = packaged_board("two-core-host")
    return replace(two, units=(replace(two.units[0], cpus=cpus),))


def machine(**files: str) -> Machine:
    kernel = boards.bed_amd64()
    for path, text in files.items():
        kernel.text(path, text)
    return Machine(tree=FakeTree(kernel), affinity=FakeAffinity(kernel))


def test_a_plain_machine_needs_no_word() -> None:
    assert cpu_notices(board(0, 1), machine()) == []


@pytest.mark.parametrize(
    ("isolated", "cpus", "says"),
    [
        ("3", (1, 3), ["big: networks run on CPU 3, isolated (isolcpus), and all else elsewhere"]),
        ("2-3", (0, 1), []),
        ("2-3", (2, 3), ["CPUs 2-3, isolated (isolcpus), and all else elsewhere. The kernel spreads no threads"]),
    ],
)
def test_isolated_cpus_of_the_board(isolated: str, cpus: tuple[int, ...], says: list[str]) -> None:
    said = cpu_notices(board(*cpus), machine(**{"sys/devices/system/cpu/isolated": isolated}))
    assert len(said) == len(says)
    assert all(words in line for words, line in zip(says, said, strict=True))


@pytest.mark.parametrize(("quota", "says"), [("50000", "50% of one core's time"), ("250000", "250%"), ("400000", None)])
def test_a_quota_is_named_if_it_is_less_than_all_cpus(quota: str, says: str | None) -> None:
    files = {
        "proc/self/cgroup": "0::/",
        "proc/self/mountinfo": "29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw",
        "sys/fs/cgroup/cpu.max": f"{quota} 100000",
    }
    said = cpu_notices(board(0), machine(**files))
    assert [says in line and "(/sys/fs/cgroup/cpu.max)" in line for line in said if says] == ([True] if says else [])
    assert bool(said) == (says is not None)


def test_isolated_cores_of_the_board_are_watched_and_cores_that_are_not_there_are_not() -> None:
    mine = os.sched_getaffinity(0)
    assert cpus_to_watch(board(min(mine), 4095)) == sorted(mine)
    try:
        os.sched_setaffinity(0, {min(mine)})  # as where the others are isolated
        assert cpus_to_watch(board(*mine)) == sorted(mine)
    finally:
        os.sched_setaffinity(0, mine)
