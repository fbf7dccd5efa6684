"""Pins of real processes with many threads are read back from the kernel."""

import os
import pickle
import re
import subprocess
import sys
import textwrap

import pytest

from actors.affinity import SystemAffinity, why_not
from actors.agent.devices.sysfs import Tree
from actors.pinning import PinError, allowed, cpus_aside, pin, repin
from helpers.fake_kernel import FakeAffinity, FakeTree, boards
from supernets.cpus import usable

CPUS = tuple(sorted(os.sched_getaffinity(0)))

CHILD = textwrap.dedent(
    """
    import sys, threading, time
    def short_lived():
        while True:  # threads come and go all the time
            thread = threading.Thread(target=time.sleep, args=(0.0005,))
            thread.start()
            thread.join()
    for _ in range(60):
        threading.Thread(target=time.sleep, args=(1e6,), daemon=True).start()
    if sys.argv[1] == "restless":
        for _ in range(2):
            threading.Thread(target=short_lived, daemon=True).start()
    print("ready", flush=True)
    for line in sys.stdin:
        threading.Thread(target=time.sleep, args=(1e6,), daemon=True).start()
        print("started", flush=True)
    """
)


@pytest.fixture
def child(request):
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, getattr(request, "param", "calm")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.communicate()


def kernel_says(pid):
    """The CPU lists of all threads, by another way than the code under test."""
    lists = set()
    for tid in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{tid}/status") as status:
            lists |= {line.split()[1] for line in status if line.startswith("Cpus_allowed_list:")}
    return lists


@pytest.mark.parametrize("cpus", [CPUS[:1], CPUS[-1:], CPUS])
def test_every_thread_moves_and_the_kernel_agrees(child, cpus):
    pin(child.pid, CPUS[:1])
    assert pin(child.pid, cpus) == cpus
    masks = allowed(child.pid)
    assert len(masks) == 61
    assert set(masks.values()) == {cpus}
    if len(cpus) == 1:
        assert kernel_says(child.pid) == {str(cpus[0])}


def test_moving_the_main_thread_alone_would_not_do(child):
    if len(CPUS) < 2:
        pytest.skip("one CPU is all there is")
    os.sched_setaffinity(child.pid, CPUS[:1])
    assert set(allowed(child.pid).values()) == {CPUS, CPUS[:1]}
    assert pin(child.pid, CPUS[:1]) == CPUS[:1]


def test_a_thread_started_later_is_where_its_process_is(child):
    pin(child.pid, CPUS[-1:])
    child.stdin.write("one more\n")
    child.stdin.flush()
    assert child.stdout.readline() == "started\n"
    assert list(allowed(child.pid).values()) == [CPUS[-1:]] * 62


@pytest.mark.parametrize("child", ["restless"], indirect=True)
def test_threads_that_come_and_go_meanwhile_do_no_harm(child):
    for round_ in range(20):
        cpus = (CPUS[round_ % len(CPUS)],)
        assert pin(child.pid, cpus) == cpus
        assert set(allowed(child.pid).values()) == {cpus}


def test_cpus_of_which_none_is_online_are_named_with_what_may_have_taken_them(child):
    before = allowed(child.pid)
    with pytest.raises(PinError, match=rf"process {child.pid} cannot be pinned to CPUs \[4095\]: .*nvpmodel.*hotplug"):
        pin(child.pid, (4095,))
    assert allowed(child.pid) == before


def test_no_cpu_at_all_is_refused_by_the_kernel(child):
    with pytest.raises(PinError, match=rf"process {child.pid} cannot be moved to CPUs \[\]"):
        pin(child.pid, ())


def test_of_several_cpus_those_that_are_online_are_taken_and_told(child):
    assert pin(child.pid, (*CPUS[:1], 4095)) == CPUS[:1]
    assert set(allowed(child.pid).values()) == {CPUS[:1]}


def test_a_process_that_is_gone_is_named(child):
    child.kill()
    child.wait()
    with pytest.raises(PinError, match=f"process {child.pid} is gone"):
        pin(child.pid, CPUS)


# ---------------------------------------------------------------- CPUs that go and come


@pytest.fixture
def fake():
    """Masks of a fake kernel with four CPUs, for the child's real threads; and a switch of its CPUs."""
    kernel = boards.bed_amd64()
    tree = FakeTree(kernel)

    def switch(cpu, on):
        tree.knob(f"sys/devices/system/cpu/cpu{cpu}/online").write(int(on))

    return FakeAffinity(kernel), switch


def test_the_default_is_this_machines_kernel():
    system = SystemAffinity()
    assert set(system.get(0)) == os.sched_getaffinity(0)
    assert system.online() >= set(CPUS)


def test_they_can_be_handed_to_another_process():
    system = SystemAffinity()
    online = system.online()
    assert pickle.loads(pickle.dumps(system)).online() == online


@pytest.mark.parametrize("online", [None, "", "8000", "0,nonsense"])
def test_where_sysfs_does_not_know_the_kernels_numbers_the_usable_cpus_count_as_online(tmp_path, online):
    """As in a container of LXC, which is shown CPUs from 0 on."""
    if online is not None:
        (tmp_path / "sys/devices/system/cpu").mkdir(parents=True)
        (tmp_path / "sys/devices/system/cpu/online").write_text(online)
    system = SystemAffinity(Tree(tmp_path))
    everywhere = usable()
    assert system.online() == everywhere >= set(CPUS)
    before = os.sched_getaffinity(0)
    system.set(0, [max(before)])
    try:
        assert system.online() == everywhere
        assert os.sched_getaffinity(0) == {max(before)}
    finally:
        system.set(0, before)


def test_pinning_again_mends_what_the_kernel_has_widened(child, fake):
    affinity, switch = fake
    pin(child.pid, (1,), affinity)
    switch(1, False)
    assert set(allowed(child.pid, affinity).values()) == {(0, 2, 3)}
    assert repin(child.pid, (1,), affinity) is None
    switch(1, True)
    assert repin(child.pid, (1,), affinity) == (0, 1, 2, 3)
    assert set(allowed(child.pid, affinity).values()) == {(1,)}
    assert repin(child.pid, (1,), affinity) is None


def test_pinning_again_mends_what_the_kernel_has_narrowed(child, fake):
    affinity, switch = fake
    switch(1, False)
    assert pin(child.pid, (0, 1), affinity) == (0,)
    switch(1, True)
    assert repin(child.pid, (0, 1), affinity) == (0,)
    assert set(allowed(child.pid, affinity).values()) == {(0, 1)}


def test_a_cpu_outside_of_the_cpuset_is_blamed_on_it(child):
    affinity = FakeAffinity(boards.bed_amd64(), cpuset={0, 1})
    with pytest.raises(PinError, match=r"cannot be moved to CPUs \[2\].*cpuset"):
        pin(child.pid, (2,), affinity)
    with pytest.raises(PinError, match=r"do not stay on CPUs \[1, 2\].*cpuset.*nvpmodel, hotplug"):
        pin(child.pid, (1, 2), affinity)


@pytest.mark.parametrize(
    ("cpus", "reason"),
    [
        ((0, 3), None),
        (
            (0, 1),
            r"CPU 1 is offline: a power mode \(nvpmodel\) or hotplug .* write 1 to /sys/devices/system/cpu/cpu1/online",
        ),
        ((1, 2, 3), "CPU 1 is offline"),
        ((2, 3), "CPU 2 is not allowed to this process: its cpuset leaves it out. Widen it"),
        ((1, 2, 6, 7), r"CPUs 6-7 are not there \(this machine has 0-3\)"),
    ],
)
def test_why_cpus_cannot_be_used_is_told_apart(cpus, reason):
    kernel = boards.bed_amd64()
    tree, affinity = FakeTree(kernel), FakeAffinity(kernel, cpuset={0, 1, 3})
    tree.knob("sys/devices/system/cpu/cpu1/online").write(0)
    said = why_not(cpus, affinity, tree)
    assert said is None if reason is None else re.search(reason, said)


@pytest.mark.parametrize(
    ("main", "preferred", "aside"),
    [
        ({0, 1}, (), {2, 3}),
        ({0, 1}, (0, 2), {2}),
        ({0, 1}, (0, 1), {2, 3}),
        ({0, 1, 2, 3}, (0, 1), {0, 1, 2, 3}),
    ],
)
def test_a_thread_that_works_aside_leaves_the_main_thread_its_cpus_and_then_takes_preferred_ones(
    main, preferred, aside
):
    assert cpus_aside({0, 1, 2, 3}, main, preferred) == aside
