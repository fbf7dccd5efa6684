"""Ray for the length of a run: started on loopback with a token of its own, stopped with nothing left behind.

- Every process of a run carries the run's tag in its environment, and every directory carries it in its name. The tag
  names the driver's process. So the next start finds and removes what a killed driver left, and never touches the Ray
  of another program.
- The process of an actor also watches the driver itself, and ends within a second of the driver's death.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import re
import secrets
import select
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from actors.ray_in_use import refuse_ray_in_use

_TAG = "GEARSHIFT_RUN"
_PREFIX = "gearshift-"
_TEMPORARY = Path("/tmp")
_BASES = (Path("/dev/shm"), _TEMPORARY)
"""Places where a run has a directory, the best first."""
_OBJECT_STORE_BYTES = 100 * 2**20
_INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_GRACE_S = 3.0
"""Time that Ray's processes get to end by themselves."""


class RaySession:
    """A local Ray for one driver, as a context manager.

    Args:
        gpus: number of GPUs that Ray is told of. Ray does not look for them itself: on a Jetson it would find none.

    Attributes:
        directory: the run's directory, in shared memory where the system has it; removed with the session.
    """

    def __init__(self, gpus: int = 0) -> None:
        self._gpus = gpus
        started_s = psutil.Process().create_time()
        # The driver's number, its start time, since numbers are used again, and some digits for a second session.
        self._tag = f"{os.getpid()}-{started_s:.0f}-{secrets.token_hex(2)}"
        self.directory = next(base for base in _BASES if base.is_dir()) / f"{_PREFIX}{self._tag}"

    def __enter__(self) -> RaySession:
        """Remove what killed runs left, then start Ray.

        Raises:
            RuntimeError: if Ray does not start.
            InputError: if this process is connected to a Ray already, which is left as it is.
        """
        refuse_ray_in_use()
        reap_dead_runs()
        try:
            self._start()
        except BaseException:  # also a Ctrl-C during the start leaves nothing behind
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop Ray, and wait until no process of the run is left."""
        self._stop()

    def _start(self) -> None:
        self.directory.mkdir()
        import ray

        raylet: Any = importlib.import_module("ray._raylet")
        with _environment(self._environment()), _own_handler():
            # Ray reads its environment when it is first imported, and the caller may have imported it long ago. These
            # two calls make it read the environment again.
            raylet.Config.initialize("")
            raylet.AuthenticationTokenLoader.instance().reset_cache()
            ray.init(
                address="local",
                num_cpus=os.cpu_count(),
                num_gpus=self._gpus,
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE_BYTES,
                _node_ip_address="127.0.0.1",
                # Ray's logs and sockets; a socket's path has at most 107 characters, and Ray adds some 65 to this.
                _temp_dir=str(_TEMPORARY / f"{_PREFIX}{self._tag}"),
                namespace="gearshift",
                log_to_driver=False,
                logging_level=logging.ERROR,
            )

    def _environment(self) -> dict[str, str]:
        """Return the environment of Ray's processes; the driver has it only while it starts them."""
        return {
            _TAG: self._tag,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_worker_niceness": "0",  # Ray's default is 15, which lets any other process disturb a request
            "RAY_prestart_worker_first_driver": "0",
            "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
            # The run's plan gives each actor its device by number; Ray would renumber the devices that an actor sees.
            "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1",
            "RAY_USAGE_STATS_ENABLED": "0",
        }

    def _stop(self) -> None:
        import ray

        with _uninterrupted():
            ray.shutdown()
            _end_processes(self._tag, grace_s=_GRACE_S)
            _remove_directories(self._tag)


def reap_dead_runs() -> int:
    """End the processes and remove the directories of runs whose driver is dead.

    Returns:
        The number of processes that were ended.
    """
    # A dead run may have left processes without directories, or directories without processes: look for both.
    tags = {tag for _, tag in _tagged_processes()}
    tags |= {path.name.removeprefix(_PREFIX) for base in _BASES for path in base.glob(f"{_PREFIX}*")}
    ended = 0
    for tag in tags:
        driver = _Driver.of(tag)
        if driver and not driver.lives:
            ended += _end_processes(tag, grace_s=0.0)
            _remove_directories(tag)
    return ended


def watch_driver(on_death: Callable[[], object]) -> None:
    """End this process, an actor's, when the driver of its run dies.

    Args:
        on_death: called first; errors that it raises are ignored.
    """
    driver = _Driver.of(os.environ.get(_TAG, ""))
    if driver is None:
        return

    def watch() -> None:
        with contextlib.suppress(ProcessLookupError):
            # A file of the process becomes readable when it dies. It is opened before the look at whether the driver
            # lives: from then on the number can't mean a later process.
            process = os.pidfd_open(driver.pid)
            if driver.lives:
                select.select([process], [], [])
        with contextlib.suppress(Exception):
            on_death()
        os._exit(1)

    threading.Thread(target=watch, name="watch-driver", daemon=True).start()


def _tagged_processes() -> Iterator[tuple[psutil.Process, str]]:
    """Yield every other process that carries a tag, with the tag."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            tag = process.environ().get(_TAG)
            if tag and process.pid != os.getpid():
                yield process, tag


@dataclass(frozen=True, kw_only=True, slots=True)
class _Driver:
    """The driver that a tag names; its start time tells it from a later process of the same number."""

    pid: int
    started_s: int

    @classmethod
    def of(cls, tag: str) -> _Driver | None:
        """Return the driver that a tag names; None for a text that is no tag of gearshift's."""
        found = re.fullmatch(r"(\d+)-(\d+)-[0-9a-f]{4}", tag)
        return cls(pid=int(found[1]), started_s=int(found[2])) if found else None

    @property
    def lives(self) -> bool:
        """True if the driver runs; a zombie does not."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started_s) <= 1.0
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False


def _end_processes(tag: str, grace_s: float) -> int:
    """Wait for the processes of a run to end, and kill those that don't.

    Args:
        tag: tag of the run.
        grace_s: time to end by themselves, in seconds.

    Returns:
        The number of processes that were killed.
    """
    deadline = time.monotonic() + grace_s
    while True:
        left = [process for process, found in _tagged_processes() if found == tag]
        if not left or time.monotonic() >= deadline:
            break
        time.sleep(0.1)
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(left, timeout=2.0)
    return len(left)


def _remove_directories(tag: str) -> None:
    for base in _BASES:
        shutil.rmtree(base / f"{_PREFIX}{tag}", ignore_errors=True)


@contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    """Change the environment within the block."""
    before = dict(os.environ)
    os.environ.update(changes)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _own_handler() -> Iterator[None]:
    """Keep the process's handler of SIGTERM: Ray replaces it by one of its own, which ends the process."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    except SystemExit as end:  # SIGTERM came while Ray's handler was in place: the process's own is called instead
        if end.code == signal.SIGTERM and callable(handler):
            handler(signal.SIGTERM, None)
        raise
    finally:
        signal.signal(signal.SIGTERM, handler)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ignore Ctrl-C, SIGTERM and SIGHUP within the block, so that a second one does not stop the clean-up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.signal(number, signal.SIG_IGN) for number in _INTERRUPTS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
