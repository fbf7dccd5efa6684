"""What a start of Ray is guarded against: limits that are too low, no loopback, a start that hangs.

Ray meets these with a page of errors from several processes, or waits for ever in code that no signal reaches. So what
can be looked at is looked at before, and the start is watched from a thread.
"""

from __future__ import annotations

import importlib
import os
import resource
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any

from scheduler.errors import InputError

LOOPBACK = "127.0.0.1"
"""The one address on which Ray's processes listen."""

_FILES = 96
"""Least number of files that a process may have open: the driver of a run had up to 60 open, the raylet up to 56."""

_FILES_WANTED = 1024

_ADDRESS_SPACE_BYTES = 4 * 2**30
"""Least address space of a process: a worker had up to 2 GB of it reserved, of which it used a tenth."""

_FILE_BYTES = 128 * 2**20
"""Longest file that a process must be able to write: Ray's object store is one of 100 MB."""

_LOOPBACK_S = 5.0
"""Longest wait for this process's own connection to itself."""

_START_S = 150.0
"""Longest start of Ray. On two cores of a shared machine it took 13 s; a small board that stalls needs more."""

_OBEY_S = 5.0
"""Time that Ray's own code gets to let go after a signal, or after its processes were killed."""

_STEP_MS = 200
"""Longest wait during which Python stands still."""

_INTERRUPTED = 130


class StartError(InputError):
    """Ray does not start in this environment; the message says what is wrong, and the fix where there is one."""

    @classmethod
    def of(cls, error: BaseException, timed_out: bool = False) -> StartError:
        """Return what is said of an error of Ray's start.

        Args:
            error: what Ray raised.
            timed_out: True if the start was ended since it took too long.
        """
        if timed_out:
            return cls(_TOO_LONG)
        if isinstance(error, OSError) and error.strerror:
            where = f"{os.fsdecode(error.filename)!r}: " if error.filename else ""
            return cls(f"Ray can't start here: {where}{error.strerror}")
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        said = f": {lines[0].rstrip('.')}" if lines else ""
        return cls(f"Ray can't start here ({type(error).__name__}{said})")


_TOO_LONG = (
    f"Ray did not come up within {_START_S:.0f} s. Its processes talk over {LOOPBACK}: see that nothing blocks "
    "loopback, and that the machine has CPU time and memory to spare"
)


def check_start() -> None:
    """Check that Ray can start here, as far as that can be seen before.

    Raises:
        StartError: if it can't.
    """
    check_directory()
    check_limits()
    check_loopback(LOOPBACK)


def check_limits() -> None:
    """Raise what limits may be raised, and check that the others are high enough.

    Raises:
        StartError: if one is too low.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _FILES_WANTED:
        wanted = _FILES_WANTED if hard == resource.RLIM_INFINITY else min(hard, _FILES_WANTED)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    for kind, least, name, unit in (
        (resource.RLIMIT_NOFILE, _FILES, "open files (ulimit -n)", 1),
        (resource.RLIMIT_AS, _ADDRESS_SPACE_BYTES, "address space in kB (ulimit -v)", 1024),
        (resource.RLIMIT_FSIZE, _FILE_BYTES, "the length of files in kB (ulimit -f, here in kB)", 1024),
    ):
        limit = resource.getrlimit(kind)[0]
        if limit != resource.RLIM_INFINITY and limit < least:
            raise StartError(
                f"the limit on {name} is {limit // unit}, and a run needs at least {least // unit}; raise it"
            )


def check_loopback(address: str) -> None:
    """Check that this process can talk to itself by loopback.

    Raises:
        StartError: if it can't.
    """
    try:
        with socket.create_server((address, 0)) as server:
            server.settimeout(_LOOPBACK_S)
            with socket.create_connection(server.getsockname()[:2], timeout=_LOOPBACK_S) as client:
                accepted, _ = server.accept()
                with accepted:
                    accepted.sendall(b"x")
                    if client.recv(1) != b"x":
                        raise OSError(0, "it was closed")
    except OSError as error:
        raise StartError(
            f"Ray's processes talk over loopback, and {address} can't be reached ({error.strerror or error}); bring it "
            "up (ip link set lo up), or let it through the firewall"
        ) from None


def check_directory() -> None:
    """Check that the working directory is there, and has a name that Ray can hand to its processes.

    Raises:
        StartError: if not.
    """
    try:
        directory = os.getcwd()
    except OSError as error:
        raise StartError(f"the working directory can't be used ({error.strerror}); start in another") from None
    shown = os.fsencode(directory).decode("utf-8", "backslashreplace")
    if shown != directory:
        raise StartError(f"the working directory's name, {shown}, is not UTF-8, which Ray needs; start in another")


@contextmanager
def plain_command() -> Iterator[None]:
    """Have a command line that Ray can keep as UTF-8, within the block.

    Ray notes it for its own displays, and fails where a name in it is in another encoding, as on old discs.
    """
    utils: Any = importlib.import_module("ray._private.utils")
    arguments, entrypoint = sys.argv, utils.get_entrypoint_name
    sys.argv = [os.fsencode(one).decode("utf-8", "backslashreplace") for one in arguments]
    utils.get_entrypoint_name = lambda: "gearshift"
    try:
        yield
    finally:
        sys.argv, utils.get_entrypoint_name = arguments, entrypoint


@contextmanager
def short_waits() -> Iterator[None]:
    """Have Ray wait for the port of its first process in short steps within the block.

    Its own wait of 30 s keeps all of Python standing, so no signal is obeyed meanwhile, and no other thread runs.
    """
    node: Any = importlib.import_module("ray._private.node")
    wait = node.wait_for_persisted_port

    def in_steps(*arguments: Any, timeout_ms: int, **options: Any) -> int:
        deadline_s = time.monotonic() + timeout_ms / 1000
        while True:
            left_ms = int((deadline_s - time.monotonic()) * 1000)
            try:
                return int(wait(*arguments, timeout_ms=max(0, min(left_ms, _STEP_MS)), **options))
            except RuntimeError:
                if left_ms <= _STEP_MS:
                    raise

    node.wait_for_persisted_port = in_steps
    try:
        yield
    finally:
        node.wait_for_persisted_port = wait


class StartGuard:
    """A watch over a start, as a context manager: what hangs is ended by a signal, or after 150 s.

    A signal reaches Python only once Ray's own code returns. If that takes longer than 5 s, the run's processes are
    killed, upon which Ray's code fails. If even that does not help, this process ends itself.

    Args:
        clean_up: ends the processes of the run and removes its directories.

    Attributes:
        timed_out: True if the start took too long.
    """

    def __init__(self, clean_up: Callable[[], object]) -> None:
        self._clean_up = clean_up
        self._ended, self._end = os.pipe2(os.O_CLOEXEC)
        self._signalled, self._signal = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._before = -1
        self._is_main = threading.current_thread() is threading.main_thread()
        self._thread = threading.Thread(target=self._watch, name="start-guard", daemon=True)
        self.timed_out = False

    def __enter__(self) -> StartGuard:
        if self._is_main:
            self._before = signal.set_wakeup_fd(self._signal, warn_on_full_buffer=False)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_main:
            signal.set_wakeup_fd(self._before)
        os.close(self._end)
        self._thread.join()
        for file in (self._ended, self._signalled, self._signal):
            os.close(file)

    def _watch(self) -> None:
        deadline_s = time.monotonic() + _START_S
        number = 0
        while number not in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            left_s = deadline_s - time.monotonic()
            ready, _, _ = select.select([self._ended, self._signalled], [], [], max(0.0, left_s))
            if self._ended in ready:
                return
            if not ready:
                self.timed_out = True
                break
            number = os.read(self._signalled, 1)[0]
        if not self.timed_out and self._over(_OBEY_S):
            return
        self._clean_up()
        if self._over(_OBEY_S):
            return
        self._clean_up()  # what Ray has started meanwhile
        print(f"gearshift: {_TOO_LONG if self.timed_out else 'interrupted while Ray started'}", file=sys.stderr)
        sys.stderr.flush()
        os._exit(2 if self.timed_out else _INTERRUPTED)

    def _over(self, wait_s: float) -> bool:
        """Wait for the end of the start; False if it does not come in time."""
        return bool(select.select([self._ended], [], [], wait_s)[0])
