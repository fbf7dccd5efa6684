"""Runs the tests in two processes at once: those that start Ray and then those of networks, and all others.

`python tests/run_all.py`. Tests that start Ray wait most of the time, so both take about as long. The output of the
first is shown as it comes, that of the second at its end. The exit status is 0 if all pass.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

TESTS = Path(__file__).parent
NETWORKS = str(TESTS / "supernets")
PYTEST = [sys.executable, "-m", "pytest", "-m"]
ON_RAY_AND_NETWORKS = ([*PYTEST, "ray and not slow"], [*PYTEST, "not ray and not slow", NETWORKS])
INTERRUPTED = 2
"""Exit status of a pytest that Ctrl-C has ended."""

OTHERS = [*PYTEST, "not ray and not slow", f"--ignore={NETWORKS}", str(TESTS)]


def main() -> int:
    """Run all shares and return the first exit status that is not 0."""
    with tempfile.TemporaryFile() as said:
        others = subprocess.Popen(OTHERS, stdout=said, stderr=subprocess.STDOUT)
        statuses: list[int] = []
        for share in ON_RAY_AND_NETWORKS:
            statuses.append(_ended(subprocess.Popen(share)))
            if statuses[-1] == INTERRUPTED:
                break
        statuses.append(_ended(others))
        _show(said)
    return next((status for status in statuses if status), 0)


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
