"""Ray for the length of a run: started on loopback with a token of its own, stopped with nothing left behind.

Every process of a run carries the run's tag in its environment. So whatever a killed driver leaves is found by the
next start and ended, and nobody else's Ray is ever touched. An actor's process also watches the driver itself and
ends within a second of its death.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import secrets
import select
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

_TAG = "GEARSHIFT_RUN"
_SHARED_MEMORY = Path("/dev/shm")
_OBJECT_STORE_BYTES = 100 * 2**20
_GRACE_S = 3.0


class RaySession:
    """A local Ray for one driver, as a context manager.

    Attributes:
        directory: in shared memory where the system has it, for the ledger; gone with the session.
    """

    def __init__(self) -> None:
        started = psutil.Process().create_time()
        self._tag = f"{os.getpid()}-{started:.2f}-{secrets.token_hex(4)}"
        base = _SHARED_MEMORY if _SHARED_MEMORY.is_dir() else Path("/tmp")
        self.directory = base / f"gearshift-{self._tag}"

    def __enter__(self) -> RaySession:
        """Ends what killed runs left, then starts Ray.

        Raises:
            RuntimeError: if Ray does not start.
        """
        reap_dead_runs()
        self.directory.mkdir()
        self._environment = dict(os.environ)
        os.environ.update(
            {
                _TAG: self._tag,
                "RAY_AUTH_MODE": "token",
                "RAY_AUTH_TOKEN": secrets.token_hex(32),
                "RAY_worker_niceness": "0",  # Ray's default is 15, which lets any other process disturb a request
                "RAY_prestart_worker_first_driver": "0",
                "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
                "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
                "RAY_USAGE_STATS_ENABLED": "0",
            }
        )
        import ray

        # Ray reads its environment when it is first imported, which the caller may have done long ago.
        raylet: Any = importlib.import_module("ray._raylet")
        raylet.Config.initialize("")
        raylet.AuthenticationTokenLoader.instance().reset_cache()
        ray.init(
            address="local",
            num_cpus=os.cpu_count(),
            num_gpus=0,
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            _node_ip_address="127.0.0.1",
            namespace="gearshift",
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops Ray and waits until no process of the run is left."""
        import ray

        ray.shutdown()
        _end_processes(self._tag, grace_s=_GRACE_S)
        shutil.rmtree(self.directory, ignore_errors=True)
        os.environ.clear()
        os.environ.update(self._environment)


def reap_dead_runs() -> int:
    """Ends the processes and removes the shared memory of runs whose driver is dead; returns how many processes."""
    ended = 0
    for tag in {tag for _, tag in _tagged_processes()}:
        if not _driver_lives(tag):
            ended += _end_processes(tag, grace_s=0.0)
    for directory in _SHARED_MEMORY.glob("gearshift-*"):
        if not _driver_lives(directory.name.removeprefix("gearshift-")):
            shutil.rmtree(directory, ignore_errors=True)
    return ended


def watch_driver(on_death: Callable[[], None]) -> None:
    """In an actor's process: ends the process when the driver of its run dies, after calling `on_death`."""
    tag = os.environ.get(_TAG, "")
    if not tag:
        return

    def watch() -> None:
        with contextlib.suppress(ProcessLookupError):
            driver = os.pidfd_open(int(tag.split("-")[0]))
            if _driver_lives(tag):
                select.select([driver], [], [])
        with contextlib.suppress(Exception):
            on_death()
        os._exit(1)

    threading.Thread(target=watch, name="watch-driver", daemon=True).start()


def _tagged_processes() -> Iterator[tuple[psutil.Process, str]]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            tag = process.environ().get(_TAG)
            if tag and process.pid != os.getpid():
                yield process, tag


def _driver_lives(tag: str) -> bool:
    """Whether the driver named by a tag runs; its start time tells it from a later process of the same number."""
    try:
        pid, started = tag.split("-")[:2]
        return abs(psutil.Process(int(pid)).create_time() - float(started)) < 1.0
    except (ValueError, psutil.Error):
        return False


def _end_processes(tag: str, grace_s: float) -> int:
    """Waits for the processes of a run to go, and kills those that don't; returns how many were killed."""
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
