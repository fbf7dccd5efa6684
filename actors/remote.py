"""The Ray actors: thin wrappers around the worker, the executor, the board agent and the control loop.

Only what Ray makes necessary is here. Messages travel as msgpack (`actors.wire`), so that an actor may live in
another Python than the manager's; telemetry by pages in shared memory (`actors.control.reports`). Specs and sources are
handed over by Ray at the start.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import ray
from numpy.typing import NDArray
from ray import cloudpickle

from actors.agent.agent import BoardAgent, BoardTotals
from actors.clock import BoardClock
from actors.control.loop import ControlLoop, LoopFigures
from actors.control.ray_transport import RayTransport
from actors.control.reports import AppReporter, BoardReporter, app_page, board_page, keep_posting
from actors.executor.server import Executor, ExecutorServer, engine_on
from actors.policies import load_policy, located
from actors.session import watch_driver
from actors.wire import decode, decode_effect, encode
from actors.worker.serving import Result, WorkerClosedError
from actors.worker.spec import WorkerSpec
from actors.worker.worker import Worker, WorkerStatus
from scheduler.board import Board
from scheduler.manager import AppSpec, Manager
from scheduler.messages import (
    Activate,
    ClockSet,
    Event,
    Pin,
    Pinned,
    Prepare,
    SetClock,
    UnitLimited,
)
from scheduler.objectives import ObjectiveName
from supernets.pictures.sources import Source

_CLIENTS = 32
"""Requests of clients that a worker's actor can hold at once."""
_CLOCK_FILE = "clock.json"


def ledger_path(directory: Path) -> Path:
    """Where a run's ledger is."""
    return directory / "ledger"


def write_clock(directory: Path, clock: BoardClock) -> None:
    """Starts board time for a run: actors read it when they begin, and again if they come back from the dead."""
    fresh = directory / f"{_CLOCK_FILE}.new"
    fresh.write_text(json.dumps([clock.zero_s, clock.time_scale]))
    fresh.replace(directory / _CLOCK_FILE)


def _read_clock(directory: Path) -> BoardClock | None:
    with contextlib.suppress(FileNotFoundError):
        return BoardClock(*json.loads((directory / _CLOCK_FILE).read_text()))
    return None


class WorkerActor:
    """One worker in a process of its own. When Ray starts it again after a kill, it goes on once it is told to."""

    def __init__(self, file: str) -> None:
        watch_driver(lambda: None)
        self._directory = Path(file).parent
        self._spec: WorkerSpec
        self._spec, self._source, self._on_result = cloudpickle.loads(Path(file).read_bytes())
        self._worker: Worker | None = None

    @ray.method(concurrency_group="control")
    def begin(self, reaped: object = None) -> WorkerStatus:
        """Starts serving, once; returns the worker as it stands.

        Args:
            reaped: of a worker that was killed before, the board agent's word that its cores are free.
        """
        if self._worker is None:
            clock = _read_clock(self._directory)
            assert clock is not None
            resumed = ray.get_runtime_context().was_current_actor_reconstructed
            self._worker = Worker(
                self._spec,
                source=self._source,
                clock=clock,
                on_result=self._on_result,
                resume_from_s=clock.now_s() if resumed else None,
            )
            self._worker.start()
        return self._serving().status()

    @ray.method(concurrency_group="control")
    def obey(self, effect: bytes) -> bytes:
        """Carries out a Prepare or an Activate, and returns its acknowledgement."""
        order = decode_effect(effect)
        worker = self._serving()
        if isinstance(order, Prepare):
            return encode(worker.prepare(order))
        assert isinstance(order, Activate)
        return encode(worker.activate(order))

    @ray.method(concurrency_group="reports")
    def report(self, epoch_s: float) -> None:
        """Reports what happens in each epoch on the application's page; it does not return.

        A worker whose inference thread died ends its process, so that Ray starts it again.
        """
        worker, clock = self._serving(), _read_clock(self._directory)
        assert clock is not None
        reporter = AppReporter(app_page(self._directory, self._spec.app))
        try:
            keep_posting(clock, epoch_s, lambda: reporter.post(worker.telemetry()))
        except WorkerClosedError:
            os._exit(1)

    @ray.method(concurrency_group="control")
    def errors(self) -> dict[str, int]:
        """What requests raised since the last call, and how often."""
        return self._serving().errors()

    @ray.method(concurrency_group="clients")
    def infer(self, picture: NDArray[np.generic]) -> Result:
        """Serves a client's request and returns its result."""
        return self._serving().submit(picture).result()

    @ray.method(concurrency_group="control")
    def drain(self, until_s: float, timeout_s: float) -> WorkerStatus:
        """Lets no more requests in, serves what waits until that board time, and returns the worker as it ended."""
        worker = self._serving()
        worker.drain(until_s)
        worker.join(timeout_s)
        return worker.status()

    def _serving(self) -> Worker:
        if self._worker is None:
            raise RuntimeError(f"the worker of app {self._spec.app!r} has not begun")
        return self._worker


class ExecutorActor:
    """A GPU's executor in a process of its own; when Ray starts it again, it serves again at once."""

    def __init__(self, path: str, device: str) -> None:
        watch_driver(lambda: None)
        self._server = ExecutorServer(Executor(engine_on(device)), Path(path))

    def pid(self) -> int:
        """Its process."""
        return os.getpid()


class AgentActor:
    """The board agent in a process of its own."""

    def __init__(self, board: Board, apps: Sequence[str], directory: str) -> None:
        self._board, self._apps, self._directory = board, tuple(apps), Path(directory)
        self._agent: BoardAgent | None = None
        self._clock: BoardClock | None = None
        watch_driver(self._restore)

    @ray.method(concurrency_group="control")
    def begin(self) -> None:
        """Makes the ledger; from here on workers can attach."""
        clock = _read_clock(self._directory)
        assert clock is not None
        self._clock = clock
        self._agent = BoardAgent(self._board, apps=self._apps, path=ledger_path(self._directory), clock=clock)
        self._agent.start()

    @ray.method(concurrency_group="control")
    def obey(self, effect: bytes, pid: int) -> bytes:
        """Carries out a Pin (of the threads of process `pid`) or a SetClock, and returns its acknowledgement."""
        order = decode_effect(effect)
        agent = self._running()
        if isinstance(order, Pin):
            actual = agent.pin(order.app, pid, order.cpus)
            return encode(Pinned(app=order.app, unit=order.unit, cpus=tuple(actual), plan=order.plan))
        assert isinstance(order, SetClock)
        clock = agent.set_clock(order.unit, order.clock, order.clamps_mhz)
        return encode(ClockSet(unit=order.unit, clock=clock, plan=order.plan))

    @ray.method(concurrency_group="control")
    def watch(self, pid: int) -> None:
        """Counts a process as ours in the machine's load."""
        self._running().watch(pid)

    @ray.method(concurrency_group="reports")
    def report(self, epoch_s: float) -> None:
        """Reports every unit and the machine in each epoch on the board's page; it does not return."""
        assert self._clock is not None
        agent, reporter = self._running(), BoardReporter(board_page(self._directory))
        keep_posting(self._clock, epoch_s, lambda: reporter.post(agent.telemetry(), agent.host_load()))

    @ray.method(concurrency_group="control")
    def limit(self, change: bytes) -> None:
        """Applies a UnitLimited."""
        order = decode(change, UnitLimited)
        self._running().limit(
            order.unit, max_mhz=order.max_mhz, cores_online=order.cores_online, other_load=order.other_load
        )

    @ray.method(concurrency_group="control")
    def reap(self, app: str) -> None:
        """Frees what a dead worker held."""
        self._running().reap(app)

    @ray.method(concurrency_group="totals")
    def mark(self, at_s: float) -> None:
        """Has `totals` count from that moment on."""
        assert self._clock is not None
        self._clock.sleep_until(at_s)
        self._running().mark()

    @ray.method(concurrency_group="totals")
    def totals(self, at_s: float) -> BoardTotals:
        """What the units did from the mark to that moment; answers then."""
        assert self._clock is not None
        self._clock.sleep_until(at_s)
        return self._running().totals()

    @ray.method(concurrency_group="control")
    def restore(self) -> None:
        """Gives the board back as it was found."""
        self._restore()

    def _restore(self) -> None:
        if self._agent is not None:
            self._agent.restore()

    def _running(self) -> BoardAgent:
        assert self._agent is not None
        return self._agent


@dataclass(frozen=True, kw_only=True, slots=True)
class ManagerTask:
    """All that the manager's actor has to know of a run."""

    board: Board
    apps: tuple[AppSpec, ...]
    events: tuple[tuple[float, Event], ...]
    policy: str
    objective: ObjectiveName
    power_cap_w: float | None
    epoch_s: float
    until_s: float


class ManagerActor:
    """The manager and its loop in a process of their own."""

    def __init__(self, task: ManagerTask, directory: str) -> None:
        watch_driver(lambda: None)
        self._task, self._directory = task, Path(directory)
        self._log: deque[dict[str, object]] = deque()
        self._stop = threading.Event()
        self._fault: str | None = None
        self._figures = LoopFigures()
        self._thread: threading.Thread | None = None

    @ray.method(concurrency_group="control")
    def begin(self, workers: Mapping[str, Any], agent: Any, pids: Mapping[str, int]) -> None:
        """Starts the loop on a thread of its own."""
        task, clock = self._task, _read_clock(self._directory)
        assert clock is not None
        manager = Manager(
            board=task.board,
            apps=task.apps,
            policy=load_policy(task.policy),
            objective=task.objective,
            power_cap_w=task.power_cap_w,
            epoch_s=task.epoch_s,
        )
        loop = ControlLoop(
            manager,
            RayTransport(workers, agent, pids, self._directory, task.epoch_s),
            clock,
            events=task.events,
            apps=list(workers),
            epoch_s=task.epoch_s,
            log=self._log.append,
        )
        self._figures = loop.figures
        self._thread = threading.Thread(target=self._run, args=(loop,), name="control-loop", daemon=True)
        self._thread.start()

    def _run(self, loop: ControlLoop) -> None:
        try:
            loop.run(self._task.until_s, self._stop.is_set)
        except Exception:
            self._fault = traceback.format_exc()

    @ray.method(concurrency_group="control")
    def take_log(self) -> list[dict[str, object]]:
        """Entries of the epoch log since the last call.

        Raises:
            RuntimeError: if the loop died.
        """
        if self._fault is not None:
            raise RuntimeError(f"the control loop died: {self._fault}")
        return [self._log.popleft() for _ in range(len(self._log))]

    @ray.method(concurrency_group="control")
    def finish(self) -> LoopFigures:
        """Ends the loop and returns what it measured of itself."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        return self._figures


def worker_actor(spec: WorkerSpec, source: Source, on_result: Callable[..., object] | None, directory: Path) -> Any:
    """Starts a worker; returns its handle.

    What it needs is handed over as a file: Ray would keep a large argument in its object store, and lose it there.
    """
    groups = {"control": 4, "reports": 1, "clients": _CLIENTS}
    file = directory / f"worker-{spec.app}.pickle"
    file.write_bytes(cloudpickle.dumps((spec, source, on_result)))
    actor = ray.remote(num_cpus=0, max_restarts=-1, concurrency_groups=groups)(WorkerActor)
    return actor.remote(str(file))


def executor_actor(path: Path, device: str) -> Any:
    """Starts the executor of a GPU, which is Ray's too, and serves at that path once it is ready; returns its handle.

    Where the device is this machine's CPU, which tests use, it takes no GPU of Ray's.
    """
    gpus = 1 if device.startswith("cuda") else 0
    return ray.remote(num_cpus=0, num_gpus=gpus, max_restarts=-1)(ExecutorActor).remote(str(path), device)


def agent_actor(board: Board, apps: Sequence[str], directory: Path) -> Any:
    """Starts the board agent; returns its handle."""
    actor = ray.remote(num_cpus=0, concurrency_groups={"control": 1, "totals": 1, "reports": 1})(AgentActor)
    return actor.remote(board, tuple(apps), str(directory))


def manager_actor(task: ManagerTask, directory: Path) -> Any:
    """Starts the manager; returns its handle."""
    actor = ray.remote(num_cpus=0, concurrency_groups={"control": 2})(ManagerActor)
    located_task = replace(task, policy=located(task.policy))  # its process may have another current directory
    return actor.remote(located_task, str(directory))
