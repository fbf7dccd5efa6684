"""A process is told from all others by what the kernel says of its start, whatever the time of day does."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.identity import Identity, age_s, this_process

STAT = "{pid} ({name}) {state} 1 5 5 0 -1 4194560 10 0 0 0 1 2 0 0 20 0 1 0 {ticks} 100 20 18446744073709551615"


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A `/proc` of a machine that is up for 1,000 s, with this process in it."""
    (tmp_path / "sys/kernel/random").mkdir(parents=True)
    (tmp_path / "sys/kernel/random/boot_id").write_text("6d6f6f6e\n")
    (tmp_path / "self/ns").mkdir(parents=True)
    (tmp_path / "self/ns/pid").symlink_to("pid:[4026531836]")
    (tmp_path / "uptime").write_text("1000.00 1800.00\n")
    put(tmp_path, os.getpid(), ticks=5000)
    return tmp_path


def put(proc: Path, pid: int, *, ticks: int, name: str = "python", state: str = "S") -> None:
    (proc / str(pid)).mkdir(exist_ok=True)
    (proc / str(pid) / "stat").write_text(STAT.format(pid=pid, name=name, state=state, ticks=ticks))


def moved(proc: Path, path: str, target: str) -> None:
    (proc / path).unlink()
    (proc / path).symlink_to(target)


def test_a_process_is_itself_as_long_as_it_runs(proc):
    me = this_process(proc)
    assert (me.pid, me.ticks) == (os.getpid(), 5000)
    assert me.seen(proc) == "alive"
    put(proc, me.pid, ticks=5000, state="Z")
    assert me.seen(proc) == "dead"
    put(proc, me.pid, ticks=5001)  # its number was given to another
    assert me.seen(proc) == "dead"
    (proc / str(me.pid) / "stat").unlink()
    assert me.seen(proc) == "dead"


@pytest.mark.parametrize("name", ["a) Z 1 (b", "with space", ")))", "x\n) X"])
def test_the_name_of_a_process_may_be_anything(proc, name):
    me = this_process(proc)
    put(proc, me.pid, ticks=5000, name=name)
    assert me.seen(proc) == "alive"


def test_what_is_of_another_boot_or_container_can_t_be_seen(proc):
    me = this_process(proc)
    moved(proc, "self/ns/pid", "pid:[4026532999]")
    assert me.seen(proc) == "unseen"
    moved(proc, "self/ns/pid", "pid:[4026531836]")
    assert me.seen(proc) == "alive"
    (proc / "sys/kernel/random/boot_id").write_text("another\n")
    assert me.seen(proc) == "unseen"


@given(
    pid=st.integers(1, 4194304),
    ticks=st.integers(0, 36**7 - 1),
    place=st.text("0123456789abcdefghijklmnopqrstuvwxyz", min_size=5, max_size=5),
)
def test_a_text_names_one_process(pid, ticks, place):
    identity = Identity(pid=pid, ticks=ticks, place=place)
    assert Identity.of(str(identity)) == identity
    assert len(str(identity)) <= 20  # it goes into the paths of sockets


@given(st.text("0123456789abcxyzZ-\u0661", max_size=22))
def test_another_text_names_none(text):
    identity = Identity.of(text)
    assert identity is None or str(identity) == text


@pytest.mark.parametrize("tag", ["30781-1796163014-abcd", "0-000000000000", "01-000000000000", "١-000000000000", "1-"])
def test_tags_of_other_forms_name_none(tag):
    assert Identity.of(tag) is None


def test_age_is_counted_on_the_clock_since_boot(proc):
    put(proc, 7, ticks=900 * os.sysconf("SC_CLK_TCK"))
    assert age_s(7, proc) == 100.0
    assert age_s(8, proc) is None


def test_on_this_machine():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    ticks = int(Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[19])
    identity = Identity(pid=child.pid, ticks=ticks, place=this_process().place)
    assert identity.seen() == this_process().seen() == "alive"
    child.kill()
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert identity.seen() == "dead"
    child.communicate()
    assert identity.seen() == "dead"
