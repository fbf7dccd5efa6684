"""Ray for the length of a run: started on loopback with a token of its own, stopped with nothing left behind.

Every process of a run carries the run's tag in its environment, and every directory carries it in its name; see
`actors.reaping`, which finds by it what a killed driver left. What the environment of a start can be like, and what is
done about it, is in `actors.start_up`.
"""

from __future__ import annotations

import importlib
import logging
import os
import secrets
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from actors.ownership import Claim
from actors.ray_in_use import refuse_ray_in_use
from actors.reaping import TAG, TAG_DIGITS, end_processes, reap_dead_runs, remove_directories
from actors.run_places import Places, make_places
from actors.run_tag import this_process
from actors.start_up import LOOPBACK, StartError, StartGuard, check_start, plain_command, short_waits

_OBJECT_STORE_BYTES = 100 * 2**20
_INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_GRACE_S = 3.0
"""Time that Ray's processes get to end by themselves."""

_BOUNDED = {
    # Of each log the file and one before it, 1 MB each.
    "RAY_ROTATION_MAX_BYTES": str(10**6),
    "RAY_ROTATION_BACKUP_COUNT": "1",
    # What Ray writes about itself every ten seconds and every minute.
    "RAY_debug_dump_period_milliseconds": "0",
    "RAY_event_stats": "0",
    "RAY_event_stats_print_interval_ms": "0",
    # Ray keeps the history of 100,000 calls in memory, for a dashboard that is off.
    "RAY_task_events_report_interval_ms": "0",
    "RAY_enable_metrics_collection": "0",
    # One arena of memory and no caches of threads: each of 30 threads keeps pages of an arena that only it fills.
    "RAY_JEMALLOC_PROFILE": "gcs_server,raylet",
    "RAY_JEMALLOC_CONF": "narenas:1,tcache:false",
    # The same for workers, manager and agent, which have glibc's. Whichever thread comes along builds Python's
    # table of interned strings (1.9 MB) anew, in its own arena, and the old table's arena keeps the empty place.
    "MALLOC_ARENA_MAX": "1",
}
"""Settings that keep memory and logs of Ray's processes and of our actors from growing with a run."""


class RaySession:
    """A local Ray for one driver, as a context manager.

    Args:
        gpus: number of GPUs that Ray is told of. Ray does not look for them itself: on a Jetson it would find none.
        claim: the claim to the CPUs that its runs use; None where nobody asks whether they are alone.
        on_notice: told what the user must know of this start, in sentences.

    Attributes:
        directory: the run's directory, in shared memory where that can be used; removed with the session.
        claim: the claim, as it was given.
    """

    def __init__(
        self,
        gpus: int = 0,
        claim: Claim | None = None,
        on_notice: Callable[[str], object] = lambda notice: None,
    ) -> None:
        self._gpus = gpus
        self.claim = claim
        self._on_notice = on_notice
        # The driver's identity, and some digits for a second session.
        self._tag = f"{this_process()}{secrets.token_hex(TAG_DIGITS)[:TAG_DIGITS]}"
        self.directory = Path()

    @property
    def tag(self) -> dict[str, str]:
        """The run's tag, as the environment of each of its processes has it."""
        return {TAG: self._tag}

    def __enter__(self) -> RaySession:
        """Remove what killed runs left, then start Ray.

        Raises:
            InputError: if Ray can't start in this environment, or if this process is connected to one already, which is
                left as it is; the message says what is wrong, and the fix.
        """
        refuse_ray_in_use()
        reap_dead_runs()
        try:
            self._start()
        except BaseException:  # also a Ctrl-C during the start leaves nothing behind
            # A start that hung has processes that don't answer, for which Ray's own end would wait.
            self._stop(killing=True)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop Ray, and wait until no process of the run is left."""
        self._stop()

    def _start(self) -> None:
        check_start()
        places = make_places(self._tag, _OBJECT_STORE_BYTES)
        self.directory = places.shared
        if places.notice:
            self._on_notice(places.notice)
        with StartGuard(self._clean_up) as guard, _own_handler():
            try:
                self._start_ray(places)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:
                raise StartError.of(error, timed_out=guard.timed_out) from error

    def _start_ray(self, places: Places) -> None:
        import ray

        raylet: Any = importlib.import_module("ray._raylet")
        with _environment(self._environment()), _on_loopback(), _alone(), plain_command(), short_waits():
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
                _node_ip_address=LOOPBACK,
                _temp_dir=str(places.ray),
                _plasma_directory=str(places.object_store),
                namespace="gearshift",
                log_to_driver=False,
                logging_level=logging.ERROR,
            )

    def _environment(self) -> dict[str, str]:
        """Return the environment of Ray's processes; the driver has it only while it starts them."""
        # A user's own settings of Ray are for his own Ray: an address, a hook or a limit of his would break this one.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        return kept | {
            **self.tag,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_worker_niceness": "0",  # Ray's default is 15, which lets any other process disturb a request
            "RAY_prestart_worker_first_driver": "0",
            # With 95 % of memory in use, whoever uses it, Ray would kill the run's actors. The kernel kills too.
            "RAY_memory_monitor_refresh_ms": "0",
            "RAY_gcs_server_port_wait_time_s": "120",  # a small board that stalls needs longer than Ray's 30 s
            "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
            # The run's plan gives each actor its device by number; Ray would renumber the devices that an actor sees.
            "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # see `_on_loopback`
            **_BOUNDED,
        }

    def _stop(self, killing: bool = False) -> None:
        import ray

        with _uninterrupted():
            if killing:
                end_processes(self._tag, grace_s=0.0)
            ray.shutdown()
            self._clean_up(_GRACE_S)

    def _clean_up(self, grace_s: float = 0.0) -> None:
        end_processes(self._tag, grace_s)
        remove_directories(self._tag)


@contextmanager
def _on_loopback() -> Iterator[None]:
    """Have Ray listen on loopback alone within the block.

    Told to use 127.0.0.1, Ray replaces it by the machine's outside address and listens on all of them, so that other
    nodes can join. It does not where there can be no other nodes, as by default on macOS; this says so for Linux.
    """
    constants: Any = importlib.import_module("ray._private.ray_constants")
    before, constants.ENABLE_RAY_CLUSTER = constants.ENABLE_RAY_CLUSTER, False
    try:
        yield
    finally:
        constants.ENABLE_RAY_CLUSTER = before


@contextmanager
def _alone() -> Iterator[None]:
    """Have Ray start within the block without what one driver on one machine has no use for.

    - The monitor, which adds machines to a cluster, the log monitor, which brings the output of actors to the driver's
      terminal, and the server of the dashboard: three processes of Python.
    - The thread that prints a page for each worker that dies, on standard output. The run says that in a line.
    """
    parameter, worker, node = (
        importlib.import_module(f"ray._private.{name}") for name in ("parameter", "worker", "node")
    )
    with ExitStack() as patches:
        for where, name, alone in (
            (parameter, "RayParams", partial(parameter.RayParams, no_monitor=True, include_log_monitor=False)),
            (node.Node, "start_api_server", lambda self, **about: None),
            (worker, "listen_error_messages", lambda worker, threads_stopped: None),
        ):
            patches.callback(setattr, where, name, getattr(where, name))
            setattr(where, name, alone)
        yield


@contextmanager
def _environment(wanted: Mapping[str, str]) -> Iterator[None]:
    """Have another environment within the block."""
    before = dict(os.environ)
    _set_environment(wanted)
    try:
        yield
    finally:
        _set_environment(before)


def _set_environment(wanted: Mapping[str, str]) -> None:
    for name in set(os.environ) - set(wanted):
        del os.environ[name]
    os.environ.update(wanted)


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
