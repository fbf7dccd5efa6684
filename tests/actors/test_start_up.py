"""What Ray can't start in is said in one message; a start that hangs is ended by a signal, or by itself."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys

import pytest

from actors.start_up import StartError, check_loopback, check_start
from helpers.name_spaces import run_apart

HANG = """
import ctypes, signal, sys
from actors import start_up
start_up._OBEY_S, start_up._START_S = 0.2, float(sys.argv[1])
signal.signal(signal.SIGTERM, lambda *_: None)
mutex = ctypes.create_string_buffer(64)
lock = ctypes.CDLL(None).pthread_mutex_lock
with start_up.StartGuard(lambda: print("cleaned", flush=True)):
    print("up", flush=True)
    lock(mutex)
    lock(mutex)  # for ever: as Ray's own code does, it lets no signal through
"""


@pytest.mark.parametrize(
    ("limit", "says"),
    [
        ("NOFILE, (64, 64)", "the limit on open files (ulimit -n) is 64, and a run needs at least 96; raise it"),
        ("AS, (2**31, 2**31)", "address space in kB (ulimit -v) is 2097152, and a run needs at least 4194304"),
        ("FSIZE, (2**20, 2**20)", "(ulimit -f, here in kB) is 1024, and a run needs at least 131072"),
        ("NOFILE, (32, 2048)", "fine"),
    ],
)
def test_limits(limit, says):
    code = (
        "import resource\nfrom actors.start_up import StartError, check_start\n"
        f"resource.setrlimit(resource.RLIMIT_{limit})\n"
        "try:\n    check_start()\n    print('fine')\nexcept StartError as error:\n    print(error)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert says in ended.stdout, ended.stderr


def test_a_working_directory_that_is_gone_or_no_utf_8(tmp_path, monkeypatch):
    odd = tmp_path / "caf\udce9"
    odd.mkdir()
    monkeypatch.chdir(odd)
    with pytest.raises(StartError, match=r"caf\\xe9, is not UTF-8"):
        check_start()
    odd.rmdir()
    with pytest.raises(StartError, match="the working directory can't be used"):
        check_start()


def test_loopback_that_is_down_is_named():
    said = run_apart(
        ["-n"],
        """
        from actors.start_up import StartError, check_start
        try:
            check_start()
        except StartError as error:
            print(error)
        """,
    )
    assert said.startswith(
        "Ray's processes talk over loopback, and 127.0.0.1 can't be reached (Network is unreachable)"
    )


def test_an_address_that_is_not_this_machine_s_can_t_be_reached():
    with pytest.raises(StartError, match=r"192\.0\.2\.77 can't be reached"):
        check_loopback("192.0.2.77")


@pytest.mark.parametrize(
    ("error", "timed_out", "says"),
    [
        (RuntimeError("first line.\nsecond"), False, "Ray can't start here (RuntimeError: first line)"),
        (Exception(), False, "Ray can't start here (Exception)"),
        (OSError(28, "No space left on device", "/tmp/x"), False, "Ray can't start here: '/tmp/x': No space left on"),
        (socket.gaierror("unknown"), False, "Ray can't start here (gaierror: unknown)"),
        (RuntimeError("GCS"), True, "Ray did not come up within"),
    ],
)
def test_an_error_of_ray_s_becomes_one_line(error, timed_out, says):
    assert str(StartError.of(error, timed_out)).startswith(says)
    assert "\n" not in str(StartError.of(error, timed_out))


@pytest.mark.parametrize(
    ("start_s", "number", "status", "says"),
    [
        (600, signal.SIGTERM, 130, "gearshift: interrupted while Ray started\n"),
        (0.2, None, 2, "gearshift: Ray did not come up within "),
    ],
    ids=["a signal", "it takes too long"],
)
def test_a_start_that_hangs_is_ended(start_s, number, status, says):
    process = subprocess.Popen(
        [sys.executable, "-c", HANG, str(start_s)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "up\n"
        if number is not None:
            process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, out) == (status, "cleaned\ncleaned\n")
    assert err.startswith(says)
