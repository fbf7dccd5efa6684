"""`make kernel-test`: boots a real kernel per board under QEMU and runs tests of the device layer inside."""

from __future__ import annotations

import argparse
import fcntl
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from kernel import boot, results
from kernel.bed import REPO, Bed
from kernel.boards import AMD64, BOARDS, Board
from kernel.packages import UnavailableError, check_host

# What runs inside the guests: files of tests, or single tests, as pytest names them.
GUEST_TESTS = (
    "tests/kernel/guest/test_bed.py",
    "tests/kernel/guest/test_fake_kernel.py",
    "tests/kernel/guest/test_sensors.py",
    "tests/kernel/guest/test_commands.py",
    "tests/actors/agent/devices/test_conformance.py",
    "tests/actors/agent/devices/test_kill_points.py",
    "tests/actors/agent/devices/test_devfreq.py",
    "tests/actors/agent/test_agent_on_beds.py",
    "tests/actors/agent/test_paced_units.py",
)
SKIPPED = 77
# With ten programs on two cores, a guest whose tests took a minute and a half of a core took five on the clock.
GUEST_TIMEOUT_S = 480
CONSOLE_LINES = 60


def main(words: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        words: its arguments; None for those of the process.

    Returns:
        0 if all tests passed, 1 if one failed or a guest did not come to its end, 77 if there is no bed to be had.
    """
    parser = argparse.ArgumentParser(prog="make kernel-test", description=__doc__)
    parser.add_argument("tests", nargs="*", default=list(GUEST_TESTS), help="files of tests, or tests, as for pytest")
    parser.add_argument("--guest", choices=sorted(BOARDS), action="append", help="default: all")
    parser.add_argument("--folder", type=Path, default=REPO / "build" / "kernel-bed", help="where the bed is kept")
    arguments = parser.parse_args(words)
    guests = [BOARDS[name] for name in arguments.guest or BOARDS]
    folder = arguments.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"kernel-test: another run uses {folder}")
            return 1
        try:
            check_host()
            bed = Bed(folder)
            with timed("fetch"):
                for board in guests:
                    bed.fetch(board)
        except UnavailableError as reason:
            print(f"kernel-test: skipped: {reason}")
            return SKIPPED
        if AMD64 in guests:
            with timed("build"):
                bed.build()
        # An emulated guest takes one core, whatever the number of its CPUs.
        with ThreadPoolExecutor(len(guests)) as pool:
            return max(pool.map(lambda board: run_guest(bed, board, arguments.tests), guests))


@contextmanager
def timed(phase: str) -> Iterator[None]:
    """Print how long a phase took, on the clock and of the processors."""
    began, before = time.monotonic(), _cpu_s()
    yield
    print(f"kernel-test: {phase}: {time.monotonic() - began:.1f} s, {_cpu_s() - before:.1f} s of a core", flush=True)


def _cpu_s() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def run_guest(bed: Bed, board: Board, tests: list[str]) -> int:
    """Boot a guest, and print what its tests came to; return 0 if all is well, else 1."""
    out = bed.folder / f"out-{board.name}"
    for name in ("console", "results.jsonl", "tests"):
        (out / name).unlink(missing_ok=True)
    out.mkdir(exist_ok=True)
    (out / "tests").write_text("\n".join(tests))
    ending = boot.run(bed.made_ready(board, out), GUEST_TIMEOUT_S, bed.environment)
    report = results.read(out / "results.jsonl")
    said = [results.table(board.name, report.results)]
    if report.ended is None:
        how = f"was killed after {GUEST_TIMEOUT_S} s" if ending.code is None else f"QEMU ended with {ending.code}"
        where = report.running or "no test yet"
        console = (out / "console").read_text(errors="replace") if (out / "console").exists() else ""
        said.append(f"{board.name}  did not come to its end: {how} in {where}. The end of its console:")
        said += console.splitlines()[-CONSOLE_LINES:]
    took = f"{ending.wall_s:.1f} s, {ending.cpu_s:.1f} s of a core"
    said.append(f"kernel-test: {board.name}: {results.counts(report.results)}; {took}")
    print("\n".join(said), flush=True)
    return 0 if report.ended == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
