"""Tests of the identity of processes, on real ones."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.process_identity import ProcessIdentity, parse_stat, read_stat

_CHILD = "import ctypes, sys; ctypes.CDLL(None).prctl(15, sys.argv[1].encode()); print(flush=True); sys.stdin.read()"


@pytest.fixture
def child() -> Iterator[subprocess.Popen[str]]:
    """Yield a child that has given itself a name of the worst kind and waits."""
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", _CHILD, ") R 1 (x"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


@given(st.text(st.characters(exclude_characters="\0"), max_size=15), st.integers(0, 2**62))
def test_any_name_is_skipped(name: str, start_ticks: int) -> None:
    after = ["S", *["0"] * 16, "3", "0", str(start_ticks), *["0"] * 30]
    stat = parse_stat(f"7 ({name}) {' '.join(after)}")
    assert (stat.state, stat.threads, stat.start_ticks) == ("S", 3, start_ticks)


@pytest.mark.parametrize("text", ["", "7", "7 (name) S 1 2", "no stat at all"])
def test_what_is_no_stat_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="22 fields"):
        parse_stat(text)


def test_a_process_is_alive_until_it_ends_and_its_file_tells_when(child: subprocess.Popen[str]) -> None:
    assert Path(f"/proc/{child.pid}/comm").read_text().strip() == ") R 1 (x"
    identity = ProcessIdentity.of(child.pid)
    assert identity is not None
    assert identity.alive()
    process = identity.open()
    assert process is not None
    try:
        assert not select.select([process], [], [], 0)[0]
        assert identity.send(signal.SIGKILL)
        assert select.select([process], [], [], 60)[0]
    finally:
        os.close(process)
    # A zombie, which is there until it is waited for, has ended.
    assert read_stat(child.pid) is not None
    assert identity.alive() is False
    assert ProcessIdentity.of(child.pid) is None
    assert identity.open() is None
    assert not identity.send(signal.SIGKILL)


def test_a_stopped_process_is_alive(child: subprocess.Popen[str]) -> None:
    identity = ProcessIdentity.of(child.pid)
    assert identity is not None
    child.send_signal(signal.SIGSTOP)
    os.waitpid(child.pid, os.WUNTRACED)
    stat = read_stat(child.pid)
    assert stat is not None
    assert stat.stopped
    assert identity.alive()


def test_the_same_number_is_not_the_same_process() -> None:
    own = ProcessIdentity.own()
    assert own.alive()
    assert replace(own, start_ticks=own.start_ticks - 1).alive() is False
    assert replace(own, boot_id="another boot").alive() is False
    # Whether a process of another PID namespace lives is not seen from here, and nothing is sent to its number.
    elsewhere = replace(own, pid_namespace=own.pid_namespace + 1)
    assert elsewhere.alive() is None
    assert elsewhere.open() is None
    assert not elsewhere.send(signal.SIGKILL)
