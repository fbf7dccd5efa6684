"""Ctrl-C, SIGTERM and SIGHUP end the command with their exit codes, from its first moment on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.command_line import COMMAND
from helpers.live_runs import wait_for

ROOT = Path(__file__).parents[3]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}
AS_FROM_A_TERMINAL = ("env", "--default-signal=INT,TERM,HUP")
"""Under nohup, or in a shell's background, the tests themselves ignore signals, and what they start would too."""
BEGIN = "import time; from workloads.cli.signals import Signals; signals = Signals()\n"


def begin(script: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [*AS_FROM_A_TERMINAL, sys.executable, "-c", BEGIN + script],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize(
    ("number", "code", "name"),
    [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM"), (signal.SIGHUP, 129, "SIGHUP")],
)
def test_a_signal_before_the_command_has_begun_ends_it_at_once(number, code, name):
    process = begin("signals.leave_at_once(); print('ready', flush=True); time.sleep(600)")
    process.send_signal(number)
    assert process.communicate()[1] == f"gearshift: interrupted ({name})\n"
    assert process.returncode == code


def test_a_second_signal_does_not_stop_the_clean_up():
    process = begin(
        "import os, signal\nsignals.interrupt()\n"
        "try: print('ready', flush=True); time.sleep(600)\n"
        "except KeyboardInterrupt: os.kill(os.getpid(), signal.SIGINT); os.kill(os.getpid(), signal.SIGHUP)\n"
        "print(signals.number, signals.name)"
    )
    process.send_signal(signal.SIGTERM)
    assert process.communicate()[0] == "15 SIGTERM\n"
    assert process.returncode == 0


def test_a_signal_that_comes_in_a_finaliser_is_not_lost():
    """Python prints what a finaliser raises, and goes on."""
    process = begin(
        "import os, signal\nsignals.interrupt()\n"
        "class Late:\n"
        "    def __del__(self): os.kill(os.getpid(), signal.SIGTERM); sum(range(1000))\n"
        "print('ready', flush=True)\n"
        "try: Late(); time.sleep(600)\n"
        "except KeyboardInterrupt: print(signals.name)"
    )
    assert process.communicate(timeout=60) == ("SIGTERM\n", "")


def test_a_signal_while_python_itself_ends_changes_no_exit_code():
    process = begin(
        "import os, sys\nsignals.leave_at_once()\n"
        "class Last:\n"
        "    def __del__(self, kill=os.kill, own=os.getpid()): kill(own, 2)\n"
        "last = Last(); print('ready', flush=True); sys.exit(143)"
    )
    process.communicate()
    assert process.returncode == 143


def test_a_signal_that_was_ignored_stays_ignored():
    process = begin(
        "import signal\nsignal.signal(signal.SIGHUP, signal.SIG_IGN); signals = Signals(); signals.leave_at_once()\n"
        "print('ready', flush=True); time.sleep(600)"
    )
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 143


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_command_ends_without_a_traceback_while_it_is_imported(tmp_path, number, code):
    process = subprocess.Popen(
        [*AS_FROM_A_TERMINAL, COMMAND, "run", ROOT / "examples/one_app.py", "--backend=sim", "--out", tmp_path / "o"],
        env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip

    def catches() -> bool:
        status = Path(f"/proc/{process.pid}/status").read_text()
        caught = int(next(line for line in status.splitlines() if line.startswith("SigCgt:")).split()[1], 16)
        return bool(caught >> (signal.SIGTERM - 1) & 1)

    wait_for(catches)
    process.send_signal(number)
    out, err = process.communicate()
    assert (process.returncode, out) == (code, "")
    assert "Traceback" not in err
