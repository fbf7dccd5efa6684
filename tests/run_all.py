"""Runs the tests in three processes at once: one begins with those that start Ray, two share all others.

`python tests/run_all.py`. Tests that start Ray wait most of the time, so three processes keep two cores busy. Whichever
ends a share takes the next one. The output of the first process is shown as it comes, that of the others at the end.
The exit status is 0 if all pass.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections import deque
from contextlib import ExitStack
from pathlib import Path
from typing import IO

TESTS = Path(__file__).parent
NETWORKS = TESTS / "supernets"
PACKAGES = [str(NETWORKS / name) for name in ("engines", "ofa", "pictures", "search", "seq2seq", "slimmable")]
PYTEST = [sys.executable, "-m", "pytest", "-m"]
START_RAY = [str(path) for path in sorted(TESTS.rglob("test_*.py")) if "mark.ray" in path.read_text()]
ON_RAY = [*PYTEST, "ray and not slow", *START_RAY]  # of those alone: to import all others takes 20 s
WITHOUT = [*PYTEST, "not ray and not slow"]
LOWER = [str(TESTS / name) for name in ("actors", "scheduler")]
SHARES = (  # those that take longest first
    [*WITHOUT, *(f"--ignore={path}" for path in (NETWORKS, *LOWER)), str(TESTS)],
    [*WITHOUT, *LOWER],
    [*WITHOUT, *PACKAGES[:2]],
    [*WITHOUT, *(f"--ignore={one}" for one in PACKAGES), str(NETWORKS)],
    [*WITHOUT, *PACKAGES[2:]],
)
BESIDE = 2
"""Processes beside the one that is shown."""
INTERRUPTED = 2
"""Exit status of a pytest that Ctrl-C has ended."""


def main() -> int:
    """Run all shares and return the first exit status that is not 0."""
    left = deque(SHARES)
    statuses: list[int] = []
    with ExitStack() as held:
        said = [held.enter_context(tempfile.TemporaryFile()) for _ in range(BESIDE)]
        others = [threading.Thread(target=_run, args=(left.popleft(), left, statuses, file)) for file in said]
        for other in others:
            other.start()
        _run(ON_RAY, left, statuses, None)
        for other, file in zip(others, said, strict=True):
            other.join()
            _show(file)
    return next((status for status in statuses if status), 0)


def _run(first: list[str], left: deque[list[str]], statuses: list[int], output: IO[bytes] | None) -> None:
    """Run one share, and then what is left, until nothing is or Ctrl-C ends a share."""
    share: list[str] | None = first
    while share:
        process = subprocess.Popen(share, stdout=output, stderr=None if output is None else subprocess.STDOUT)
        statuses.append(_ended(process))
        if statuses[-1] == INTERRUPTED:
            left.clear()
        try:
            share = left.popleft()
        except IndexError:
            share = None


def _ended(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait()
    except KeyboardInterrupt:  # it got the signal too, and ends by itself
        return process.wait()


def _show(said: IO[bytes]) -> None:
    said.seek(0)
    sys.stdout.flush()
    sys.stdout.buffer.write(said.read())


if __name__ == "__main__":
    sys.exit(main())
