"""CPUs have one owner at a time; others are told who it is, or share and are void as the owner is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from actors.agent.devices.sysfs import Tree
from actors.ownership import BusyError, Claim
from helpers.agent_board import BOARD as EMULATED

BOARD = replace(EMULATED, units=tuple(replace(unit, dvfs="cpufreq") for unit in EMULATED.units))
BIG, LITTLE = (replace(BOARD, units=(unit,)) for unit in BOARD.units)
GPU = replace(BOARD, units=(replace(BOARD.units[0], name="gpu", kind="gpu", cpus=()),))

CODE = """
import sys
from dataclasses import replace
from pathlib import Path
from actors.agent.devices.sysfs import Tree
from actors.ownership import Claim
from helpers.agent_board import BOARD
BOARD = replace(BOARD, units=tuple(replace(unit, dvfs="cpufreq") for unit in BOARD.units))
with Claim([BOARD], "first", share=len(sys.argv) > 2, tree=Tree(Path(sys.argv[1]))) as claim:
    print("up", claim.notice, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(autouse=True)
def nobody_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GEARSHIFT_SHARE", raising=False)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """A machine of three CPUs with an NVIDIA driver."""
    for place in (*(f"sys/devices/system/cpu/cpu{cpu}" for cpu in range(3)), "sys/module/nvidia"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "uevent").touch()
    return Tree(tmp_path)


@pytest.fixture
def first(tree: Tree) -> Iterator[subprocess.Popen[str]]:
    """Another process that has claimed all CPUs."""
    process = began(tree)
    yield process
    process.kill()
    process.communicate()


def began(tree: Tree, *options: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, str(tree.root), *options],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline().startswith("up")
    return process


def test_a_second_run_is_refused_and_told_of_the_first(tree, first):
    with pytest.raises(BusyError) as raised, Claim([BIG], "second", tree=tree):
        pass
    said = str(raised.value)
    assert said.startswith(f"run 'first' of process {first.pid}, for ")
    assert said.endswith(" s, uses CPUs 0, 1; wait for it or end it, or share with --share, which makes both void")
    first.kill()
    first.wait()
    with Claim([BIG], "second", tree=tree) as claim:  # the kernel has freed them
        assert (claim.notice, claim.look(), claim.shared) == ("", False, False)


def test_a_run_of_other_cpus_is_free_to_go(tree):
    with Claim([BIG], "one", tree=tree) as one, Claim([LITTLE], "other", tree=tree) as other:
        assert not one.look()
        assert not other.look()


def test_the_gpus_of_a_driver_have_one_owner(tree):
    with Claim([GPU], "one", tree=tree):
        with pytest.raises(BusyError, match="uses the GPU;"), Claim([BOARD, GPU], "other", tree=tree):
            pass
        with Claim([BOARD], "third", tree=tree) as third:  # what was refused has let go of the CPUs
            assert not third.look()


@pytest.mark.parametrize("asked", ["option", "environment"])
def test_who_shares_makes_both_void(tree, monkeypatch, asked):
    if asked == "environment":
        monkeypatch.setenv("GEARSHIFT_SHARE", "1")
    share = True if asked == "option" else None
    with Claim([BOARD], "owner", share=False, tree=tree) as owner:
        assert not owner.look()
        with Claim([BIG], "guest", share=share, tree=tree) as guest:
            assert guest.shared
            assert guest.notice.startswith(f"run 'owner' of process {os.getpid()}, for ")
            assert guest.notice.endswith(" uses CPUs 0, 1 too, so the figures of both runs are void")
            assert owner.look()
        assert owner.look()  # it has been void since
    with Claim([BOARD], "next", share=False, tree=tree) as following:
        assert not following.look()


def test_a_second_run_on_an_emulated_board_goes_on_and_both_are_void(tree):
    with Claim([EMULATED], "owner", tree=tree) as owner, Claim([EMULATED], "second", tree=tree) as second:
        assert second.notice.startswith(f"run 'owner' of process {os.getpid()}, for ")
        assert second.shared
        assert owner.look()


def test_a_run_on_real_clocks_shares_with_nobody_by_itself(tree, first):
    with pytest.raises(BusyError, match="run 'first'"), Claim([EMULATED], "emulated", tree=tree):
        pass
    first.kill()
    first.wait()
    with (
        Claim([EMULATED], "emulated", tree=tree),
        pytest.raises(BusyError, match="run 'emulated'"),
        Claim([BOARD], "real", tree=tree),
    ):
        pass


def test_who_may_share_and_is_alone_is_an_owner(tree):
    with Claim([BOARD], "owner", share=True, tree=tree) as owner:
        assert (owner.notice, owner.look()) == ("", False)
        with pytest.raises(BusyError), Claim([LITTLE], "second", tree=tree):
            pass
        assert not owner.look()  # a run that was refused did not disturb it


def test_a_guest_that_stays_keeps_the_next_run_out(tree, first):
    guest = began(tree, "share")
    try:
        first.kill()
        first.wait()
        with pytest.raises(BusyError) as raised, Claim([BOARD], "next", tree=tree):
            pass
        assert f"process {guest.pid}" in str(raised.value)
    finally:
        guest.kill()
        guest.communicate()


def test_another_program_s_lock_is_told_by_its_command(tree):
    code = "import fcntl, sys; f = open(sys.argv[1]); fcntl.flock(f, 2); print('up', flush=True); input()"
    file = tree.root / "sys/devices/system/cpu/cpu0/uevent"
    process = subprocess.Popen([sys.executable, "-c", code, file], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        process.stdout.readline()
        with pytest.raises(BusyError, match=rf"^process {process.pid} \(.*python.*\), for .* s, uses CPU 0;"):
            Claim([BOARD], "run", tree=tree).__enter__()
    finally:
        process.kill()
        process.communicate()


def test_where_sysfs_can_t_be_seen_the_run_goes_on(tmp_path):
    with Claim([BOARD], "run", tree=Tree(tmp_path)) as claim:
        assert claim.notice == "whether another run uses the same CPUs can't be seen here (No such file or directory)"
        assert not claim.look()


def test_a_run_on_real_clocks_is_seen_behind_an_emulated_one(tree):
    emulated = Claim([EMULATED], "emulated", tree=tree)
    with emulated:
        real = began(tree, "shares")
        try:
            with pytest.raises(BusyError, match=f"run 'first' of process {real.pid}"):
                Claim([EMULATED], "third", tree=tree).__enter__()
            emulated.__exit__(None, None, None)  # the other goes on as a guest whose host has left
            with pytest.raises(BusyError, match=f"run 'first' of process {real.pid}"):
                Claim([EMULATED], "third", tree=tree).__enter__()
        finally:
            real.kill()
            real.communicate()
