"""The machine's load is split into ours and others', and CPUs that go and come shift no figure to another one."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.agent import load
from actors.agent.load import CpuTime, HostMeter, cpu_times

TICKS = os.sysconf("SC_CLK_TCK")
# As Linux 6.1 shows it with CPU 1 of four offline; the first line is the sum of the others.
STAT = """cpu  1200 10 300 9000 40 5 15 30 7 3
cpu0 400 10 100 3000 40 5 15 30 7 3
cpu2 500 0 100 3000 0 0 0 0 0 0
cpu10 300 0 100 3000 0 0 0 0 0 0
intr 12345 0 9 0 0
ctxt 99999
btime 1764600000
processes 4242
softirq 11 0 1
"""


def test_each_cpu_is_known_by_its_number():
    assert cpu_times(STAT.splitlines()) == {
        0: CpuTime(busy_s=pytest.approx(530 / TICKS), all_s=pytest.approx(3600 / TICKS)),
        2: CpuTime(busy_s=pytest.approx(600 / TICKS), all_s=pytest.approx(3600 / TICKS)),
        10: CpuTime(busy_s=pytest.approx(400 / TICKS), all_s=pytest.approx(3400 / TICKS)),
    }
    assert cpu_times([]) == {}


class Stat:
    """A file like /proc/stat."""

    def __init__(self, path):
        self.path = path

    def write(self, **cpus: tuple[float, float]):
        """Have CPUs shown with that many busy and total seconds: `cpu1=(0.5, 1.0)`."""
        lines = [
            f"{cpu} {round(busy_s * TICKS)} 0 0 {round((all_s - busy_s) * TICKS)} 0 0 0 0 0 0"
            for cpu, (busy_s, all_s) in cpus.items()
        ]
        self.path.write_text("\n".join(["cpu  0 0 0 0 0 0 0 0 0 0", *lines, "intr 1 2 3"]))


@pytest.fixture
def stat(tmp_path):
    return Stat(tmp_path / "stat")


def test_the_machines_load_is_split_into_ours_and_others(monkeypatch, stat):
    ours = {"s": 0.0}
    monkeypatch.setattr(load, "_used_s", lambda process: ours["s"])
    stat.write(cpu0=(0.0, 0.0), cpu1=(0.0, 0.0))
    meter = HostMeter(stat.path)
    stat.write(cpu0=(0.5, 1.0), cpu1=(0.25, 1.0))
    ours["s"] = 0.375
    first = meter.read()
    assert (first.cores, first.others) == ((0.5, 0.25), 0.375)
    stat.write(cpu0=(1.0, 2.0), cpu1=(0.5, 2.0))
    ours["s"] = 1.375  # a tick late in the kernel's accounts: more than the cores were busy
    second = meter.read()
    assert (second.cores, second.others) == ((0.5, 0.25), 0.0)
    third = meter.read()
    assert (third.cores, third.others) == ((0.0, 0.0), 0.0)


def test_what_others_use_is_looked_up_once_a_second_and_then_over_all_of_it(monkeypatch, stat):
    monkeypatch.setattr(load, "_used_s", lambda process: 0.0)
    stat.write(cpu0=(0.0, 0.0))
    meter, seen = HostMeter(stat.path), []
    for busy_s, all_s in [(0.5, 0.5), (0.5, 1.0), (0.75, 1.25), (1.0, 1.5), (1.0, 2.0)]:
        stat.write(cpu0=(busy_s, all_s))
        reading = meter.read()
        seen.append((*reading.cores, reading.others))
    assert seen == [(1.0, 1.0), (0.0, 1.0), (1.0, 1.0), (1.0, 0.5), (0.0, 0.5)]


def test_a_cpu_that_goes_and_comes_back_is_left_out_and_shifts_nothing(monkeypatch, stat):
    monkeypatch.setattr(load, "_used_s", lambda process: 0.0)
    stat.write(cpu0=(0.0, 0.0), cpu1=(0.0, 0.0), cpu2=(0.0, 0.0))
    meter = HostMeter(stat.path)
    stat.write(cpu0=(0.25, 1.0), cpu1=(0.5, 1.0), cpu2=(1.0, 1.0))
    assert meter.read().cores == (0.25, 0.5, 1.0)
    stat.write(cpu0=(0.5, 2.0), cpu2=(2.0, 2.0))
    away = meter.read()
    assert away.cores == (0.25, None, 1.0)
    assert away.others == pytest.approx(1.25)
    stat.write(cpu0=(0.75, 3.0), cpu1=(0.75, 1.5), cpu2=(3.0, 3.0))
    assert meter.read().cores == (0.25, None, 1.0)
    stat.write(cpu0=(1.0, 4.0), cpu1=(1.25, 2.5))
    assert meter.read().cores == (0.25, 0.5, None)  # the last CPU keeps its place


def test_accounts_that_run_back_are_left_out(stat):
    stat.write(cpu0=(0.0, 0.0), cpu1=(5.0, 9.0))
    meter = HostMeter(stat.path)
    stat.write(cpu0=(0.5, 1.0), cpu1=(0.0, 0.5))
    assert meter.read().cores == (0.5, None)


READINGS = st.lists(
    st.dictionaries(st.integers(0, 5), st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=6),
    min_size=1,
    max_size=8,
)


@settings(deadline=None, max_examples=100)
@given(readings=READINGS)
def test_whatever_cpus_go_and_come_each_keeps_its_own_share(tmp_path_factory, readings):
    """Each reading is, by CPU online, the ticks busy and idle since its own last one."""
    path = tmp_path_factory.mktemp("load") / "stat"
    total = {cpu: (0, 0) for cpu in range(6)}

    def show(online):
        lines = [f"cpu{cpu} {total[cpu][0]} 0 0 {total[cpu][1]} 0 0 0 0 0 0" for cpu in sorted(online)]
        path.write_text("\n".join(lines))

    before = {*readings[0]}
    show(before)
    meter = HostMeter(path)
    seen = {*before}
    for spent in readings:
        total |= {cpu: (total[cpu][0] + busy, total[cpu][1] + idle) for cpu, (busy, idle) in spent.items()}
        show(spent)
        seen |= {*spent}
        reading = meter.read()
        assert len(reading.cores) == max(seen, default=-1) + 1
        for cpu, share in enumerate(reading.cores):
            if cpu not in before or cpu not in spent:
                assert share is None
            else:
                busy, idle = spent[cpu]
                assert share == pytest.approx(busy / (busy + idle) if busy + idle else 0.0)
        assert 0 <= reading.others <= 6
        before = {*spent}


def test_a_process_that_ends_is_no_longer_ours_and_does_no_harm():
    meter = HostMeter()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    meter.watch(child.pid)
    assert child.pid in meter._ours
    child.kill()
    child.communicate()
    reading = meter.read()
    assert child.pid not in meter._ours
    meter.watch(child.pid)
    assert child.pid not in meter._ours
    assert len(reading.cores) == os.cpu_count()
    assert all(0 <= share <= 1 for share in reading.cores)
    assert 0 <= reading.others <= os.cpu_count()
    assert reading.memory_used_mb > 0
