"""An executor on a made-up device (`helpers.fake_device`), in a process of its own, which a test may kill or stop.

Run as a program it serves at the socket of its one argument until its standard input ends.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TESTS = Path(__file__).parents[1]


@contextmanager
def executor_process(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Yield the process of an executor that serves at a socket."""
    command = [sys.executable, "-c", f"from helpers.executor_process import serve; serve({str(path)!r})"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=TESTS.parent, env=_environment()) as process:
        try:
            assert process.stdout.readline() == "up\n"
            yield process
        finally:
            process.kill()


def _environment() -> dict[str, str]:
    import os

    return os.environ | {"PYTHONPATH": f"{TESTS.parent}:{TESTS}"}


def serve(path: str) -> None:
    """Serve until standard input ends; a network that is to wait (`Network.WAIT`) waits for ever."""
    from actors.executor.server import Executor, ExecutorServer
    from helpers import fake_device

    fake_device.PATIENCE_S = 1e6
    ExecutorServer(Executor(fake_device.Device().load), Path(path))
    print("up", flush=True)
    sys.stdin.read()
