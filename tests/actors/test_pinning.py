"""Pins of real processes with many threads are read back from the kernel."""

import os
import subprocess
import sys
import textwrap

import pytest

from actors.pinning import PinError, allowed, pin

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


@pytest.mark.parametrize("cpus", [(4095,), ()])
def test_cpus_that_the_kernel_refuses_are_named(child, cpus):
    with pytest.raises(PinError, match=rf"process {child.pid} cannot be moved to CPUs \[{cpus[0] if cpus else ''}\]"):
        pin(child.pid, cpus)


def test_what_the_kernel_grants_only_in_part_is_an_error(child):
    with pytest.raises(PinError, match="do not stay on CPUs"):
        pin(child.pid, (*CPUS[:1], 4095))


def test_a_process_that_is_gone_is_named(child):
    child.kill()
    child.wait()
    with pytest.raises(PinError, match=f"process {child.pid} is gone"):
        pin(child.pid, CPUS)
