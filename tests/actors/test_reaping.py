"""The next start removes what a killed driver left, and nothing else; an actor ends with its driver."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from actors.identity import this_process
from actors.reaping import reap_dead_runs, remove_directories
from helpers.name_spaces import run_apart

BASES = [base for base in (Path("/dev/shm"), Path("/tmp")) if base.is_dir()]
PATIENCE_S = 60
"""A stalled machine gets this long; nothing here takes long by itself."""

Spawn = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    """A function that starts processes that wait for their stdin to close; what is left of them is ended."""
    processes = []

    def start(code: str = "", **environment: str) -> subprocess.Popen[str]:
        script = textwrap.dedent(code) + "\nprint('up', flush=True)\nimport sys\nsys.stdin.read()\n"
        process = subprocess.Popen(
            [sys.executable, "-c", script],
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def up(process: subprocess.Popen[str]) -> list[str]:
    """Wait until it has started, and return what it printed until then."""
    return list(iter(lambda: process.stdout.readline().strip(), "up"))


def tag_of(process: subprocess.Popen[str], *, later_ticks: int = 0) -> str:
    """The tag of a run of that driver, or of one with its number that started later."""
    ticks = int(Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19])
    driver = replace(this_process(), pid=process.pid, ticks=ticks + later_ticks)
    return f"{driver}{secrets.token_hex(1)}"


def directories(name: str) -> list[Path]:
    for base in BASES:
        (base / name / "full").mkdir(parents=True)
    return [base / name for base in BASES]


def ends(process: subprocess.Popen[str]) -> bool:
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        return False
    return True


def test_what_a_dead_driver_left_is_reaped(spawn):
    driver = spawn()
    up(driver)
    tag = tag_of(driver)
    left = [spawn(GEARSHIFT_RUN=tag) for _ in range(2)]
    kept = directories(f"gearshift-{tag}")
    for process in left:
        up(process)
    driver.kill()  # and not waited for: a zombie is dead
    while psutil.Process(driver.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert reap_dead_runs() == 2
    assert all(ends(process) for process in left)
    assert not any(directory.exists() for directory in kept)


def test_a_later_process_of_the_driver_s_number_is_not_the_driver(spawn):
    driver = spawn()
    up(driver)
    left = spawn(GEARSHIFT_RUN=tag_of(driver, later_ticks=-1))
    up(left)
    assert reap_dead_runs() == 1
    assert ends(left)
    assert driver.poll() is None


def test_nothing_else_is_reaped(spawn):
    driver = spawn()
    up(driver)
    tag = tag_of(driver)
    others = [spawn(GEARSHIFT_RUN=tag), spawn(GEARSHIFT_RUN="mine"), spawn(GEARSHIFT_RUN="1-2-3"), spawn()]
    for process in others:
        up(process)
    own = f"gearshift-{secrets.token_hex(4)}"
    kept = [*directories(f"gearshift-{tag}"), *directories(own)]
    try:
        assert reap_dead_runs() == 0
        assert all(process.poll() is None for process in others)
        assert all((directory / "full").exists() for directory in kept)
    finally:
        for directory in kept:
            (directory / "full").rmdir()
            directory.rmdir()


def test_what_is_of_another_container_is_left_alone(spawn):
    driver = spawn()
    up(driver)
    kept = directories(f"gearshift-{tag_of(driver)}")
    code = "from actors.reaping import reap_dead_runs; print(reap_dead_runs())"
    try:
        # There the driver's number means nothing, or another process.
        assert run_apart(["-p", "-f", "--mount-proc"], code) == "0\n"
        assert all((directory / "full").exists() for directory in kept)
    finally:
        remove_directories(kept[0].name.removeprefix("gearshift-"))
    assert not any(directory.exists() for directory in kept)


def test_a_step_of_the_wall_clock_changes_nothing(spawn):
    driver = spawn()
    up(driver)
    left = spawn(GEARSHIFT_RUN=tag_of(driver))
    up(left)
    code = """
        import psutil
        from actors.reaping import reap_dead_runs
        print(reap_dead_runs(), psutil.boot_time())
    """
    # All that is reckoned from the time of day goes by the boot's time in /proc/stat.
    step = "sed 's/^btime .*/btime 3600/' /proc/stat >/dev/shm/stepped && mount --bind /dev/shm/stepped /proc/stat"
    assert run_apart(["-m"], code, before=f"mount -t tmpfs none /dev/shm && {step}") == "0 3600.0\n"
    assert left.poll() is None


def test_an_actor_s_process_ends_with_its_driver(spawn):
    driver = spawn()
    up(driver)
    code = """
        from actors.reaping import watch_driver
        watch_driver(lambda: print("restored", flush=True))
    """
    actor = spawn(code, GEARSHIFT_RUN=tag_of(driver))
    late = tag_of(driver)
    up(actor)
    driver.kill()
    driver.wait()
    assert ends(actor)
    assert (actor.stdout.read(), actor.returncode) == ("restored\n", 1)
    # And one that comes to be after its driver is gone ends at once.
    orphan = spawn(code, GEARSHIFT_RUN=late)
    assert ends(orphan)
    assert "restored" in orphan.stdout.read()
    assert orphan.returncode == 1


def test_without_a_driver_there_is_nothing_to_watch(spawn):
    process = spawn("from actors.reaping import watch_driver\nwatch_driver(lambda: print('restored'))")
    assert up(process) == []
    out, _ = process.communicate(timeout=PATIENCE_S)
    assert (out, process.returncode) == ("", 0)
