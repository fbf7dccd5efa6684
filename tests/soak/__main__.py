"""`make soak`: runs a mix on Ray for an hour, and fails if a process of the run has grown by 1 % since its warm-up."""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from actors.clock import BoardClock, read_clock
from actors.run_places import PREFIX, SHARED_MEMORY
from helpers.command_line import COMMAND
from soak.report import draw, table
from soak.sampling import Sample, look

ROOT = Path(__file__).parents[2]
MIX = Path(__file__).with_name("soak_mix.py")

_PR_SET_THP_DISABLE = 41  # linux/prctl.h

_START_S = 600.0
"""Longest wait for the run to begin, on a machine that does much else."""


def main(words: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        words: command line without the program's name; None takes the process's own.

    Returns:
        0 if the run came to its end and no process has grown, else 1.
    """
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600.0, help="length of the run; the default is an hour")
    parser.add_argument("--every", type=float, default=10.0, help="seconds between two samples; the default is 10")
    parser.add_argument("--warm-up", type=float, help="seconds that do not count; the default is a sixth of the run")
    parser.add_argument("--out", type=Path, default=Path("build/soak"), help="where results go")
    chosen = parser.parse_args(words)
    warm_up_s = chosen.seconds / 6 if chosen.warm_up is None else chosen.warm_up
    out = chosen.out.absolute()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the run ends with it
    samples, ended = _soak(chosen.seconds, chosen.every, out)
    summary_file = out / "run" / "summary.json"
    summary = json.loads(summary_file.read_text()) if summary_file.exists() else None
    rows, passed = table(samples, warm_up_s, summary)
    print(rows, flush=True)
    if ended:
        print(f"the run ended with exit code {ended}; what it said is in {out / 'stderr.txt'}")
    if samples:
        draw(samples, warm_up_s, out / "soak.png")
    (out / "table.md").write_text(rows + "\n")
    return 0 if passed and not ended else 1


def _soak(seconds: float, every_s: float, out: Path) -> tuple[list[Sample], int]:
    """Run the mix, and return the samples of its processes while it ran, and its exit code."""
    samples = []
    _do_without_huge_pages()
    with (out / "stdout.json").open("w") as stdout, (out / "stderr.txt").open("w") as stderr:
        run = subprocess.Popen(
            [COMMAND, "run", MIX, "--json", "--out", out / "run", "--share"],
            cwd=ROOT,
            env=os.environ | {"SOAK_SECONDS": str(seconds), "PYTHONPATH": str(ROOT)},
            stdout=stdout,
            stderr=stderr,
        )
        try:
            clock = _clock_of(run)
            with (out / "samples.jsonl").open("w") as file:
                while clock is not None and run.poll() is None and clock.now_s() + every_s < seconds:
                    time.sleep(every_s)
                    samples.append(look(run.pid, out / "run", clock.now_s()))
                    file.write(samples[-1].to_json() + "\n")
                    file.flush()
            return samples, run.wait()
        except BaseException:
            run.terminate()
            run.wait()
            raise


def _do_without_huge_pages() -> None:
    """Have this process and those that it starts use small pages of memory alone.

    Where a process has asked for huge pages, the kernel looks for parts of them in the background, and fills a page
    up when it finds some. So a process would take up to 2 MB at once, at any time, without having asked for anything.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_THP_DISABLE, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_THP_DISABLE)")


def _clock_of(run: subprocess.Popen[bytes]) -> BoardClock | None:
    """Return the clock of a run once it has one; None if it has ended, or takes too long."""
    end_s = time.monotonic() + _START_S
    while run.poll() is None and time.monotonic() < end_s:
        for directory in SHARED_MEMORY.glob(f"{PREFIX}{run.pid}-*/run-*"):
            with suppress(OSError, ValueError):
                return read_clock(directory)
        time.sleep(0.5)
    return None


if __name__ == "__main__":
    sys.exit(main())
