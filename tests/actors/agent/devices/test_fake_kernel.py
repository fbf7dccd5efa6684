"""The fake kernel's files as such: who may do what, kept descriptors, faults, and use from other processes."""

from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from actors.agent.devices.sysfs import AwayError, Tree
from helpers.fake_kernel import FakeKernel, FakeTree, RemoteTree, boards, dump, serve, snapshot
from helpers.fake_kernel.answers import answer, answer_kept, turn, turn_kept

CPU = "sys/devices/system/cpu"
POLICY = f"{CPU}/cpufreq/policy0"
SPAWN = multiprocessing.get_context("spawn")


@contextmanager
def local(kernel: FakeKernel) -> Iterator[Tree]:
    yield FakeTree(kernel)


@contextmanager
def remote(kernel: FakeKernel) -> Iterator[Tree]:
    with serve(kernel) as address:
        yield pickle.loads(pickle.dumps(RemoteTree(address)))


@pytest.fixture(params=[local, remote])
def tree(request: pytest.FixtureRequest, kernel: FakeKernel) -> Iterator[Tree]:
    """A tree in this process, and one over a connection."""
    with request.param(kernel) as made:
        yield made


@pytest.fixture
def kernel() -> FakeKernel:
    return boards.bed_arm64()


def test_a_tree_is_walked_through_links(tree: Tree) -> None:
    assert tree.find(f"{CPU}/cpu*/cpufreq/related_cpus") == [f"{CPU}/cpu{cpu}/cpufreq/related_cpus" for cpu in range(4)]
    assert tree.real(f"{CPU}/cpu3/cpufreq") == f"{CPU}/cpufreq/policy2"
    assert tree.real("sys/no/such/file") == "sys/no/such/file"
    assert tree.names(f"{CPU}/nothing") == []
    assert answer(tree, CPU) == "EISDIR"
    assert answer(tree, f"{POLICY}/scaling_driver/more") == "ENOTDIR"


def test_a_file_that_went_and_came_is_a_new_file(tree: Tree, kernel: FakeKernel) -> None:
    kept = tree.open(f"{POLICY}/scaling_max_freq")
    writer = tree.open(f"{POLICY}/scaling_max_freq", writing=True)
    knob = tree.knob(f"{POLICY}/scaling_max_freq")
    assert knob.number() == 1907200
    kernel.vanish(POLICY)
    assert not tree.exists(POLICY)
    assert answer(tree, f"{POLICY}/scaling_max_freq") == "ENOENT"
    assert answer_kept(kept) == turn_kept(writer, 600000) == "ENODEV"
    with pytest.raises(AwayError):
        knob.text()
    kernel.come_back(POLICY)
    assert answer_kept(kept) == "ENODEV"
    assert knob.number() == 1907200, "a knob opens it again"


def test_faults_strike_and_heal(tree: Tree, kernel: FakeKernel) -> None:
    path = f"{POLICY}/scaling_max_freq"
    kept = tree.open(path)
    kernel.fail(f"{CPU}/cpu1/cpufreq/scaling_max_freq", errno.EIO, times=2)
    assert [answer_kept(kept), turn(tree, path, 600000), answer(tree, path)] == ["EIO", "EIO", "1907200"]
    kernel.fail(path, errno.EACCES)
    assert answer(tree, path) == "EACCES"
    assert answer_kept(kept) == "1907200", "access is decided when a file is opened"
    assert not tree.may(path)
    kernel.garbage(path, b"\xff\x00")
    assert kept.read() == b"\xff\x00"
    kernel.heal(path)
    kernel.freeze(path)
    assert turn(tree, path, 600000) == "ok"
    assert answer(tree, path) == "1907200"
    kernel.heal(path)
    assert answer(tree, path) == "600000"


def test_writes_are_recorded_and_can_be_stopped(tree: Tree, kernel: FakeKernel) -> None:
    path = f"{POLICY}/scaling_max_freq"

    def stop(path: str, content: bytes) -> None:
        if content == b"1":
            raise OSError(errno.EINTR, "stopped")

    kernel.before_write = stop
    assert [turn(tree, f"{CPU}/cpu0/cpufreq/scaling_max_freq", value) for value in (600000, "x", 1)] == [
        "ok",
        "EINVAL",
        "EINTR",
    ]
    kernel.write(path, "1200000")
    written = [(write.path, write.content, write.error) for write in kernel.writes]
    assert written == [(path, b"600000", None), (path, b"x", errno.EINVAL)]


def test_a_model_that_fails_is_no_error_of_the_kernel(tree: Tree, kernel: FakeKernel) -> None:
    def fail(path: str, content: bytes) -> None:
        raise RuntimeError("kill point")

    kernel.before_write = fail
    with pytest.raises(RuntimeError, match="kill point"):
        tree.knob(f"{POLICY}/scaling_max_freq").write(600000)


def test_the_boot_id_changes_with_each_boot(tree: Tree, kernel: FakeKernel) -> None:
    before = answer(tree, "proc/sys/kernel/random/boot_id")
    kernel.boot()
    assert answer(tree, "proc/sys/kernel/random/boot_id") != before


def hold_the_lock(tree: Tree, told: Connection) -> None:
    told.send(tree.lock(f"{CPU}/online") is not None)
    told.recv()


def test_a_lock_ends_with_its_process(kernel: FakeKernel) -> None:
    with serve(kernel) as address:
        here, there = SPAWN.Pipe()
        holder = SPAWN.Process(target=hold_the_lock, args=(RemoteTree(address), there), daemon=True)
        holder.start()
        assert here.recv() is True
        # The same file, by another path and another tree.
        assert FakeTree(kernel).lock(f"{CPU}/online") is None
        assert holder.pid is not None
        os.kill(holder.pid, signal.SIGKILL)
        holder.join()
        unlock = RemoteTree(address).lock(f"{CPU}/online")
        assert unlock is not None
        assert FakeTree(kernel).lock(f"{CPU}/online") is None
        unlock()
        kernel.vanish(f"{CPU}/online")
        with pytest.raises(AwayError):
            RemoteTree(address).lock(f"{CPU}/online")


def turn_for_ever(tree: Tree) -> None:
    knob = tree.knob(f"{POLICY}/scaling_max_freq")
    while True:
        for khz in (600000, 1200000):
            knob.write(khz)


def test_the_kernel_outlives_a_user_that_is_killed_between_two_writes(kernel: FakeKernel) -> None:
    with serve(kernel) as address:
        user = SPAWN.Process(target=turn_for_ever, args=(RemoteTree(address),), daemon=True)

        def kill(path: str, content: bytes) -> None:
            if len(kernel.writes) == 5:
                assert user.pid is not None
                os.kill(user.pid, signal.SIGKILL)
                raise OSError(errno.EINTR, "its writer is dead")

        kernel.before_write = kill
        user.start()
        user.join()
        assert user.exitcode == -signal.SIGKILL
        assert [write.content for write in kernel.writes] == [b"600000", b"1200000", b"600000", b"1200000", b"600000"]
        assert answer(FakeTree(kernel), f"{POLICY}/scaling_max_freq") == "600000"


def read_and_fork(tree: Tree, told: Connection) -> None:
    knob = tree.knob(f"{POLICY}/scaling_driver")
    told.send(knob.text())
    child = os.fork()
    told.send(knob.text())
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    told.send(knob.text())


def test_a_child_that_was_forked_has_its_own_connection(kernel: FakeKernel) -> None:
    with serve(kernel) as address:
        here, there = SPAWN.Pipe()
        user = SPAWN.Process(target=read_and_fork, args=(RemoteTree(address), there), daemon=True)
        user.start()
        assert [here.recv() for _ in range(4)] == ["cpufreq-dt"] * 4
        user.join()
        assert user.exitcode == 0


@pytest.mark.parametrize("board", boards.ALL)
def test_a_dump_reads_like_the_tree(board: str, tmp_path: Path) -> None:
    kernel = boards.ALL[board]()
    kernel.root = False
    dump(kernel, tmp_path)
    fake, plain = FakeTree(kernel), Tree(tmp_path)
    policies = f"{CPU}/cpufreq/policy*/*"
    assert plain.find(policies) == [path for path in fake.find(policies) if answer(fake, path) != "EACCES"]
    assert [answer(plain, path) for path in plain.find(policies)] == [
        answer(fake, path) for path in plain.find(policies)
    ]
    assert plain.find(f"{CPU}/cpu*/cpufreq/related_cpus") == fake.find(f"{CPU}/cpu*/cpufreq/related_cpus")
    assert not plain.exists(f"{POLICY}/cpuinfo_cur_freq")


def test_a_snapshot_shows_what_was_turned(kernel: FakeKernel) -> None:
    tree = FakeTree(kernel)
    before = snapshot(kernel)
    assert snapshot(kernel) == before
    turn(tree, f"{POLICY}/scaling_max_freq", 600000)
    turn(tree, f"{CPU}/cpu2/online", 0)
    turn(tree, f"{CPU}/cpu3/online", 0)
    after = snapshot(kernel)
    changed = {path: after[path] for path in before if after[path] != before[path]}
    away = {path: errno.EBUSY for path in before if path.startswith(f"{CPU}/cpufreq/policy2/")}
    assert changed == {
        f"{POLICY}/scaling_max_freq": b"600000\n",
        f"{CPU}/cpu2/online": b"0\n",
        f"{CPU}/cpu3/online": b"0\n",
        **away,
    }
    assert len(away) == 4
