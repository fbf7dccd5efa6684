"""A process that computes on one CPU for as long as it is told to: the load of a calibration, and its stop-watch.

Its kernel is the product of two matrices of 192 x 192 floats in one thread, the arithmetic of a network's layer in
numpy's BLAS. Run as `python burn.py CPU`; it takes the lines `go` and `stop`, and ends when its input does.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import sys
import time

import numpy as np

_SIZE = 192
_INPUT = 0


def _compute() -> list[float]:
    """Compute until there is a line to read; return how long each step took, in seconds."""
    a = np.linspace(-1.0, 1.0, _SIZE * _SIZE, dtype=np.float32).reshape(_SIZE, _SIZE)
    b, out = np.ascontiguousarray(a.T), np.empty_like(a)
    steps_s = []
    while not select.select([_INPUT], [], [], 0)[0]:
        start_s = time.perf_counter()
        np.matmul(a, b, out=out)
        steps_s.append(time.perf_counter() - start_s)
    return steps_s


def _main(cpu: int) -> None:
    os.sched_setaffinity(0, {cpu})
    np.matmul(np.ones((8, 8), np.float32), np.ones((8, 8), np.float32))  # so that BLAS is loaded
    _say("ready")
    # Unbuffered, so that a line that has not been read yet still shows in `select`.
    lines = open(_INPUT, "rb", buffering=0)  # noqa: SIM115
    while line := lines.readline():
        if line == b"go\n":
            steps_s = _compute()
            # The lower quartile: a step during which something else had the core says nothing of the core. The first
            # step brings the matrices into the caches.
            kept_s = sorted(steps_s[1:] or steps_s)
            _say(json.dumps({"steps": len(kept_s), "step_s": kept_s[len(kept_s) // 4] if kept_s else None}))


def _say(line: str) -> None:
    # Whoever asked may be dead by now.
    with contextlib.suppress(BrokenPipeError):
        os.write(1, f"{line}\n".encode())


if __name__ == "__main__":
    _main(int(sys.argv[1]))
