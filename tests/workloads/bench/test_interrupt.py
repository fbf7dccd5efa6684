"""Ctrl-C interrupts what waits, also in a process that has loaded the tables of a bench."""

from __future__ import annotations

import subprocess
import sys

WAITS = """
import os, signal, threading, time
import workloads.bench.rows
free = threading.Event()
def interrupt():
    time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(30)
    free.set()
threading.Thread(target=interrupt, daemon=True).start()
try:
    free.wait()
except KeyboardInterrupt:
    print("interrupted", free.is_set())
"""


def test_a_lock_is_not_waited_for_after_ctrl_c():
    # A shell that starts this in the background has its children ignore SIGINT.
    ended = subprocess.run(
        [sys.executable, "-c", "import signal; signal.signal(2, signal.default_int_handler)\n" + WAITS],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ended.stdout.split() == ["interrupted", "False"]
