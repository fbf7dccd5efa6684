"""What a test inside a guest can do to the board: cap a clock as somebody else would, heat it, turn its counters."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kernel.boards import BOARDS

CPUS = Path("/sys/devices/system/cpu")
GSBOARD = Path("/sys/module/gsboard/parameters")
THERMAL = Path("/sys/class/thermal")

BOARD = next(board for board in BOARDS.values() if board.machine == platform.machine())


def read(path: Path) -> str:
    """Return a file's text without the line's end."""
    return path.read_text().strip()


def gsboard(**parameters: int) -> None:
    """Set parameters of the module gsboard: `gsboard(temp_mc=91_000)`. Their meanings are in gsboard.c."""
    for name, value in parameters.items():
        (GSBOARD / name).write_text(str(value))


def cooling_device(cpu: int) -> Path:
    """Return the cooling device that lowers the clock of a CPU's cluster (arm64)."""
    (kind,) = (path for path in THERMAL.glob("cooling_device*/type") if read(path) == f"cpufreq-cpu{cpu}")
    return kind.parent


@contextmanager
def capped(khz: int) -> Iterator[None]:
    """Cap the clock of CPU 0's cluster for a while, by a hand that shows nowhere but in `scaling_max_freq`.

    On amd64 the hand is a driver of the kernel, on arm64 a cooling device; either asks the kernel, and neither writes
    `scaling_max_freq`.

    Args:
        khz: a clock of the cluster's table.
    """
    if BOARD.name == "amd64":
        lever, on, off = GSBOARD / "cap_khz", khz, 0
    else:
        # A cooling device counts steps down from the highest clock.
        steps_down = sorted(BOARD.clusters[0].khz, reverse=True).index(khz)
        lever, on, off = cooling_device(0) / "cur_state", steps_down, 0
    lever.write_text(str(on))
    try:
        yield
    finally:
        lever.write_text(str(off))
