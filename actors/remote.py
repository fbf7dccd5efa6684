"""The Ray actors of the worker, the executor and the board agent (the manager's is `actors.control.manager_actor`).

- Only what Ray makes necessary is here: thin wrappers around objects that are tested without Ray.
- Messages travel as msgpack (`actors.wire`), so that an actor may run another version of Python than the manager.
  Telemetry goes by pages in shared memory (`actors.control.reports`).
- An actor's methods are split into concurrency groups. A group is a pool of threads of its own in the actor, so a call
  that lasts (a report, a client's request) never keeps another kind of call waiting.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, assert_never

import ray
from ray import cloudpickle

from actors.agent.agent import BoardAgent
from actors.agent.devices.hand_back import HandedBack
from actors.agent.machine import Machine
from actors.agent.totals import BoardTotals
from actors.clock import BoardClock, read_clock
from actors.collecting import collect_every_minute
from actors.control.reports import AppReporter, BoardReporter, app_page, board_page, keep_posting
from actors.executor.server import Executor, ExecutorServer, engine_on
from actors.reaping import watch_driver
from actors.whole_file import whole
from actors.wire import decode, decode_effect, encode
from actors.worker.results import Result, WorkerClosedError, WorkerDiedError
from actors.worker.spec import WorkerSpec
from actors.worker.status import WorkerStatus
from actors.worker.takeover import give_up
from actors.worker.worker import Worker
from scheduler.board import Board
from scheduler.messages import (
    Activate,
    ClockSet,
    Log,
    Pin,
    Pinned,
    Prepare,
    SetClock,
    StartWorker,
    StopWorker,
    SwitchUnit,
    UnitLimited,
    UnitSlowed,
)
from supernets.task import Source

MOST_CLIENTS = 32
"""Most requests of clients that a worker's actor holds at once. Others wait outside, where no queue counts them."""


def ledger_path(directory: Path) -> Path:
    """Return the path of a run's ledger."""
    return directory / "ledger"


class WorkerActor:
    """One worker in a process of its own.

    When Ray restarts the process after a kill, the worker goes on when `begin` is called again.
    """

    def __init__(self, file: str) -> None:
        watch_driver(lambda: None)
        self._directory = Path(file).parent
        self._spec: WorkerSpec
        self._spec, self._source, self._on_result = cloudpickle.loads(Path(file).read_bytes())
        self._worker: Worker | None = None

    @ray.method(concurrency_group="control")
    def begin(self, reaped: object = None) -> WorkerStatus:
        """Start serving, unless the worker serves already; return its status.

        Args:
            reaped: answer of the board agent's `reap`. Ray waits for it before it makes this call, so the cores of a
                killed predecessor are free by then. None for the first worker.
        """
        if self._worker is None:
            clock = read_clock(self._directory)
            resumed = self._spec.resumes or ray.get_runtime_context().was_current_actor_reconstructed
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
        """Carry out a Prepare or an Activate, and return its acknowledgement."""
        order = decode_effect(effect)
        worker = self._serving()
        match order:
            case Prepare():
                return encode(worker.prepare(order))
            case Activate():
                return encode(worker.activate(order))
            case Pin() | SetClock() | SwitchUnit() | StartWorker() | StopWorker() | Log():
                raise TypeError(f"a {type(order).__name__} is not for a worker")
            case _:
                assert_never(order)

    @ray.method(concurrency_group="reports")
    def report(self, epoch_s: float) -> None:
        """Report on the application's page in each epoch; it does not return.

        A worker whose inference thread died ends its process, so that Ray starts it again.

        Args:
            epoch_s: board time between two reports, in seconds.
        """
        worker, clock = self._serving(), read_clock(self._directory)
        reporter = AppReporter(app_page(self._directory, self._spec.app))
        try:
            keep_posting(clock, epoch_s, lambda: reporter.post(worker.totals()))
        except WorkerClosedError:
            os._exit(1)

    @ray.method(concurrency_group="control")
    def retarget(self, segments: Sequence[tuple[float, float]], floors: Sequence[tuple[float, float]]) -> None:
        """Take other latency targets and accuracy floors, past and present ones, as `WorkerSpec` has them."""
        self._spec = replace(self._spec, segments=tuple(segments), floors=tuple(floors))
        if self._worker is not None:
            self._worker.retarget(segments, floors)

    @ray.method(concurrency_group="clients")
    def infer(self, payload: object) -> Result:
        """Serve a client's request, and return its result."""
        if self._worker is None:
            raise WorkerDiedError(f"app {self._spec.app!r}: its worker is still starting; ask again")
        return self._serving().submit(payload).result()

    @ray.method(concurrency_group="control")
    def drain(self, until_s: float, timeout_s: float) -> WorkerStatus:
        """Let no more requests in, serve those that wait, and return the worker's status at its end.

        Args:
            until_s: board time at which it ends at the latest.
            timeout_s: longest wait for the end, in seconds on the wall.
        """
        if self._worker is None and ray.get_runtime_context().was_current_actor_reconstructed:
            return give_up(self._spec, read_clock(self._directory).now_s())
        worker = self._serving()
        worker.drain(until_s)
        worker.join(timeout_s)
        return worker.status()

    def _serving(self) -> Worker:
        if self._worker is None:
            raise RuntimeError(f"the worker of app {self._spec.app!r} has not begun")
        return self._worker


class ExecutorActor:
    """A GPU's executor in a process of its own; when Ray restarts the process, it serves again at once."""

    def __init__(self, path: str, device: str) -> None:
        watch_driver(lambda: None)
        self._server = ExecutorServer(Executor(engine_on(device)), Path(path))

    def pid(self) -> int:
        """Return the number of its process."""
        return os.getpid()


class AgentActor:
    """The board agent in a process of its own."""

    def __init__(self, board: Board, apps: Sequence[str], directory: str, machine: Machine, spare: int) -> None:
        self._board, self._apps, self._directory, self._spare = board, tuple(apps), Path(directory), spare
        self._machine = machine
        self._agent: BoardAgent | None = None
        self._clock: BoardClock | None = None
        watch_driver(self._restore)

    @ray.method(concurrency_group="control")
    def begin(self, resumes: bool) -> int:
        """Make the ledger, so that workers can attach to it, or go on in place of an agent that died.

        Args:
            resumes: true if an agent of this run has been there and has died.

        Returns:
            The number of this process.
        """
        self._clock = read_clock(self._directory)
        self._agent = BoardAgent(
            self._board,
            apps=self._apps,
            path=ledger_path(self._directory),
            clock=self._clock,
            machine=self._machine,
            owner=str(self._directory),
            resumes=resumes,
            spare=self._spare,
        )
        collect_every_minute()
        self._agent.start()
        return os.getpid()

    @ray.method(concurrency_group="control")
    def obey(self, effect: bytes, pid: int) -> bytes:
        """Carry out a Pin, a SetClock or a SwitchUnit, and return its acknowledgement.

        Args:
            effect: the encoded effect.
            pid: for a Pin, number of the process whose threads are pinned.
        """
        order = decode_effect(effect)
        agent = self._running()
        match order:
            case Pin():
                actual = agent.pin(order.app, pid, order.cpus)
                return encode(Pinned(app=order.app, unit=order.unit, cpus=tuple(actual), plan=order.plan))
            case SetClock():
                clock = agent.set_clock(order.unit, order.clock, order.hints)
                return encode(ClockSet(unit=order.unit, clock=clock, plan=order.plan))
            case SwitchUnit():
                return encode(agent.switch(order))
            case Prepare() | Activate() | StartWorker() | StopWorker() | Log():
                raise TypeError(f"a {type(order).__name__} is not for the board agent")
            case _:
                assert_never(order)

    @ray.method(concurrency_group="control")
    def add(self, app: str, slot: int) -> None:
        """Give an application that comes later a spare slot in the ledger, perhaps of one that did not start."""
        slots = self._running().slots
        for other in [other for other, number in slots.items() if number == slot]:
            del slots[other]
        slots[app] = slot

    @ray.method(concurrency_group="control")
    def watch(self, pid: int) -> None:
        """Count a process as one of the run in the machine's load."""
        self._running().watch(pid)

    @ray.method(concurrency_group="reports")
    def report(self, epoch_s: float) -> None:
        """Report every unit and the machine on the board's page in each epoch, and keep workers where they were pinned.

        It does not return.

        Args:
            epoch_s: board time between two reports, in seconds.
        """
        assert self._clock is not None
        agent, reporter = self._running(), BoardReporter(board_page(self._directory))
        keep_posting(self._clock, epoch_s, lambda: reporter.post(agent.report()))

    @ray.method(concurrency_group="control")
    def limit(self, change: bytes) -> None:
        """Apply an encoded UnitLimited."""
        order = decode(change, UnitLimited)
        self._running().limit(
            order.unit, max_mhz=order.max_mhz, cpus_online=order.cpus_online, other_load=order.other_load
        )

    @ray.method(concurrency_group="control")
    def slow(self, change: bytes) -> None:
        """Apply an encoded UnitSlowed."""
        order = decode(change, UnitSlowed)
        self._running().slow(order.unit, order.slowdown)

    @ray.method(concurrency_group="control")
    def reap(self, app: str) -> None:
        """Free what a dead worker held on the ledger."""
        self._running().reap(app)

    @ray.method(concurrency_group="totals")
    def mark(self, at_s: float) -> None:
        """Wait until `at_s`, board time, and have `totals` count from then on, unless an agent before has done so."""
        assert self._clock is not None
        self._clock.sleep_until(at_s)
        if not self._running().is_marked:
            self._running().mark()

    @ray.method(concurrency_group="totals")
    def totals(self, at_s: float) -> BoardTotals:
        """Wait until `at_s`, board time, and return what the units did since `mark`."""
        assert self._clock is not None
        self._clock.sleep_until(at_s)
        return self._running().totals()

    @ray.method(concurrency_group="control")
    def pinned(self) -> dict[str, tuple[int, tuple[int, ...]]]:
        """Return each application's process and its CPUs, after all orders that came before this call."""
        return self._running().pinned()

    @ray.method(concurrency_group="control")
    def totals_now(self) -> BoardTotals:
        """Return what the units did since `mark`, for a run that does not come to the end which `totals` waits for."""
        return self._running().totals()

    @ray.method(concurrency_group="control")
    def restore(self) -> HandedBack:
        """Put the board back as it was found, and return what came of it."""
        return self._restore()

    def _restore(self) -> HandedBack:
        return HandedBack() if self._agent is None else self._agent.restore()

    def _running(self) -> BoardAgent:
        assert self._agent is not None
        return self._agent


def worker_actor(spec: WorkerSpec, source: Source, on_result: Callable[..., object] | None, directory: Path) -> Any:
    """Start a worker's actor, and return its handle.

    Args:
        spec: what the worker serves.
        source: inputs of its requests.
        on_result: called with (request, output) after each completed request.
        directory: the run's directory.
    """
    # Four control calls at once: a `prepare` and a `drain` last, and others must get through beside them.
    groups = {"control": 4, "reports": 1, "clients": MOST_CLIENTS}
    file = tell_worker(spec, source, on_result, directory)
    actor = ray.remote(num_cpus=0, max_restarts=-1, concurrency_groups=groups)(WorkerActor)
    return actor.remote(str(file))


def tell_worker(spec: WorkerSpec, source: Source, on_result: Callable[..., object] | None, directory: Path) -> Path:
    """Write the file that a worker reads when it starts, also after a kill, and return its path; see `worker_actor`."""
    # Handed over in a file: Ray would keep a large argument in its object store, and lose it there.
    file = directory / f"worker-{spec.app}.pickle"
    # A user's function may hold the password of a camera, and whoever can write to the file has his code run.
    with whole(file) as fresh:
        opened = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(opened, "wb") as out:
            out.write(cloudpickle.dumps((spec, source, on_result)))
    return file


def executor_actor(path: Path, device: str) -> Any:
    """Start a GPU's executor, and return its handle.

    Args:
        path: socket at which it serves once it is ready.
        device: device as torch names it. A CUDA device takes one of Ray's GPUs; the CPU, which tests use, takes none.
    """
    gpus = 1 if device.startswith("cuda") else 0
    return ray.remote(num_cpus=0, num_gpus=gpus, max_restarts=-1)(ExecutorActor).remote(str(path), device)


def agent_actor(board: Board, apps: Sequence[str], directory: Path, machine: Machine, spare: int = 0) -> Any:
    """Start the board agent for the machine that the board is, and return its handle; see `BoardAgent`."""
    # One control call at a time: the agent carries out orders in the order in which they were sent.
    actor = ray.remote(num_cpus=0, concurrency_groups={"control": 1, "totals": 1, "reports": 1})(AgentActor)
    return actor.remote(board, tuple(apps), str(directory), machine, spare)
