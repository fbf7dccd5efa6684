"""Starts runs and deployments: from a mix and a board to a summary, in one call."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ray

from actors.ownership import Claim
from actors.ray_in_use import refuse_ray_in_use
from actors.session import RaySession
from actors.worker.results import (
    RequestDroppedError,
    RequestFailedError,
    Result,
    WorkerDiedError,
)
from scheduler.admission import Admission
from scheduler.board import Board
from scheduler.errors import InputError
from workloads.ladder.profiles import profiles_for
from workloads.mix.app import App
from workloads.mix.mix import Mix, Target
from workloads.progress import Progress, no_progress
from workloads.results.entry_words import log_entry
from workloads.results.summary import Summary
from workloads.runs.app_sources import check_sources
from workloads.runs.boards import open_board
from workloads.runs.changing import ChangingRun
from workloads.runs.failure import Failure, RunError
from workloads.runs.live import Entry, Listener, LiveRun
from workloads.runs.plan import RunPlan, plan_run
from workloads.runs.simulated import plan_simulation, write_simulated
from workloads.simulator import simulate

__all__ = ["Deployment", "RequestDroppedError", "RequestFailedError", "deploy", "deploy_plan", "run", "run_plan"]

_LOG_WALL_S = 1.0
"""Wall time between two takings of a deployment's log from the manager."""


def run(
    mix: Mix,
    *,
    board: Board | str | Path | None = None,
    policy: str = "joint",
    backend: str = "ray",
    seed: int = 0,
    epoch_ms: float = 100.0,
    time_scale: float = 1.0,
    out: str | Path | None = None,
    share: bool | None = None,
    on_progress: Progress = no_progress,
) -> Summary:
    """Run a mix on this machine, or simulate it, and return its summary.

    `run(mix, board="jetson-xavier-nx", backend="sim").energy.units_j` is the units' energy in a simulated run.

    Args:
        mix: the mix.
        board: a board, the path of its `cluster.yaml`, or the name of a packaged one; None for `./cluster.yaml` or the
            packaged default.
        policy: `NETWORKS[+CLOCKS]`, or `FILE.py:Class`.
        backend: `ray` to run it here, `sim` to simulate it, on any board.
        seed: seed of arrivals, inputs and service times; at least 0.
        epoch_ms: board time between two decisions; at least 1.
        time_scale: wall time over board time; 1 in simulation.
        out: run directory; None for one that is removed after the run.
        share: True to run beside another run on the same CPUs, which makes both void, where else it is refused; None
            does what `actors.ownership.Claim` says.
        on_progress: told about exports and measurements before the run.

    Raises:
        InputError: for bad input of any kind; nothing was started.
        RunError: if the run fails on the way; it has the summary of what there is.
        SimulationError: if a simulated policy fails.
    """
    opened = open_board(board, backend)
    if backend == "sim":
        if time_scale != 1:
            raise InputError(f"time_scale {time_scale!r} slows a real run down; a simulation's is 1.")
        check_sources(mix, seed)
        profiles = profiles_for(mix, opened, on_progress=on_progress)
        simulation = plan_simulation(mix, opened, policy=policy, seed=seed, epoch_ms=epoch_ms, profiles=profiles)
        simulated = simulate(simulation)
        if out is not None:
            write_simulated(simulation, simulated, Path(out))
        return simulated.summary
    refuse_ray_in_use()  # before anything is measured, which takes a while
    # Claimed before anything is measured: profiles too want the CPUs for themselves.
    with Claim([opened], mix.name, share=share) as claim:
        plan = plan_run(
            mix,
            opened,
            policy=policy,
            seed=seed,
            epoch_ms=epoch_ms,
            time_scale=time_scale,
            on_progress=on_progress,
        )
        with _directory(out) as directory, RaySession(plan.gpus, claim) as session:
            return run_plan(plan, session, directory, log_entry)


def run_plan(
    plan: RunPlan,
    session: RaySession,
    out: Path,
    on_entry: Callable[[Entry], None] = lambda entry: None,
    on_time: Callable[[float], None] = lambda now_s: None,
    on_failure: Callable[[Failure], None] = lambda failure: None,
) -> Summary:
    """Run a plan on a started Ray, into a directory that is made if missing.

    A run that does not come to its end, also by Ctrl-C, leaves a summary of what there is in its directory.

    Args:
        plan: the plan.
        session: a started Ray.
        out: run directory.
        on_entry: called with each entry of the epoch log.
        on_time: called with the board time, now and then.
        on_failure: called with what there is of a run that fails or is interrupted.

    Raises:
        RunError: if a process of the run dies for good, or the directory can't be written to.
    """
    out.mkdir(parents=True, exist_ok=True)
    listener = Listener(on_entry, on_time)
    live = LiveRun(plan, session, out)
    try:
        live.start()
        live.watch(listener)
        return live.finish(listener)
    except BaseException as error:
        failure = live.cut_short(error)
        on_failure(failure)
        if isinstance(error, Exception):
            raise RunError(failure) from error
        raise
    finally:
        live.kill()


class Deployment:
    """A running mix that takes requests of clients, and changes on the way; made by `deploy`.

    Any thread may call its methods.

    Attributes:
        summary: the run summary once the deployment has ended; None before.
    """

    def __init__(self, live: ChangingRun) -> None:
        self._live = live
        self.summary: Summary | None = None

    @property
    def admissions(self) -> Mapping[str, Admission]:
        """By application, the manager's answer when it joined: who gives way then, and by how much.

        `deployment.admissions["yard"].outlook.verdict` is `accepted`, `degraded`, or `unforeseen` under a governor. One
        that joins during the run is there about a second after it has joined.
        """
        return dict(self._live.admissions)

    @property
    def live(self) -> ChangingRun:
        """The run itself."""
        return self._live

    @property
    def apps(self) -> tuple[str, ...]:
        """The applications that are there now."""
        return tuple(app for app in self._live.plan.apps if self._live.is_there(app))

    def infer(self, app: str, payload: object) -> Result:
        """Have an application's worker answer one request, and wait for the answer.

        `deployment.infer("entrance", payload)` gives a `Result` with `output`, `subnet` (the sub-network that computed
        it), `latency_ms`, and `receipt`: where it was served, and what it cost.

        Args:
            app: name of the application.
            payload: an input as the supernet's task takes it, such as an array; it is handed on as it is.

        Raises:
            KeyError: for an application that is not there.
            RequestDroppedError: if the queue was full, or its deadline had passed.
            RequestFailedError: if its payload is refused, its inference raised, or the worker died with it.
            WorkerClosedError: if the application ended before it was served.
        """
        worker = self._worker(app)
        with _in_our_words(app):
            result: Result = ray.get(worker.infer.remote(payload))
        return result

    async def infer_async(self, app: str, payload: object) -> Result:
        """As `infer`, for an event loop, which serves others meanwhile."""
        worker = self._worker(app)
        with _in_our_words(app):
            result: Result = await worker.infer.remote(payload)
        return result

    def update(self, app: str, **changes: float) -> Target:
        """Change what an application is asked for from now on, and return all its targets.

        `deployment.update("entrance", latency_ms=30)` leaves its floor, weight and slo as they are. An event of the mix
        that comes later sets all of them to what the mix says.

        Args:
            app: name of the application.
            **changes: new values of `latency_ms`, `min_accuracy`, `weight` or `slo`; see `App`.

        Raises:
            KeyError: for an application that is not there.
            MixError: for a value out of range, or a floor that its networks can't keep; nothing has changed then.
        """
        self._worker(app)
        return self._live.retarget(app, changes)

    def add(self, app: App) -> Target:
        """Add an application, and return its targets once it has joined, which takes some two seconds.

        Its arrivals are `External()`, and its networks those of an app of the mix, since others were not measured.

        Raises:
            MixError: if one of its name is there, or it can't be added; nothing has changed then.
        """
        return self._live.add(app)

    def remove(self, app: str) -> None:
        """Remove an application: it takes no more requests, and those that wait are served.

        Raises:
            KeyError: for an application that is not there.
        """
        self._worker(app)
        self._live.remove(app)

    def _worker(self, app: str) -> Any:
        if not self._live.is_there(app):
            raise KeyError(f"no app {app!r} in this deployment; there are {', '.join(self.apps) or 'none'}")
        return self._live.worker(app)


@contextmanager
def _in_our_words(app: str) -> Iterator[None]:
    """Raise what a worker raised, without Ray's words around it."""
    try:
        yield
    except ray.exceptions.RayTaskError as error:
        raise getattr(error, "cause", error) from None
    except ray.exceptions.RayActorError:
        raise WorkerDiedError(
            f"app {app!r}: its worker died with this request; ask again, since a new one starts"
        ) from None


@contextmanager
def deploy(
    mix: Mix,
    *,
    board: Board | str | Path | None = None,
    policy: str = "joint",
    seed: int = 0,
    epoch_ms: float = 100.0,
    out: str | Path | None = None,
    share: bool | None = None,
) -> Iterator[Deployment]:
    """Run a mix until the block ends, and let clients send requests to it.

        with deploy(mix) as deployment:
            result = deployment.infer("entrance", payload)
        print(deployment.summary.apps["entrance"].on_time)

    Applications with `External()` arrivals are served through `Deployment.infer` alone. The arguments are those of
    `run`. The mix's duration bounds its own arrivals and events only.
    """
    refuse_ray_in_use()
    opened = open_board(board)
    with Claim([opened], mix.name, share=share) as claim:
        plan = plan_run(mix, opened, policy=policy, seed=seed, epoch_ms=epoch_ms)
        with (
            _directory(out) as directory,
            RaySession(plan.gpus, claim) as session,
            deploy_plan(plan, session, directory) as deployment,
        ):
            yield deployment


@contextmanager
def deploy_plan(
    plan: RunPlan, session: RaySession, out: Path, on_entry: Callable[[Entry], None] = log_entry
) -> Iterator[Deployment]:
    """Run a plan on a started Ray until the block ends, into a directory that is made if missing.

    Args:
        plan: the plan.
        session: a started Ray.
        out: run directory.
        on_entry: called with each entry of the epoch log, once a second, on a thread of its own.
    """
    out.mkdir(parents=True, exist_ok=True)
    live = ChangingRun(plan, session, out)
    deployment = Deployment(live)
    try:
        live.start()
        live.clock.sleep_until(0.0)
        live.poll(Listener(on_entry))  # the first answers are there when the block begins
        with _keeping_log(live, on_entry):
            yield deployment
        deployment.summary = live.finish(Listener(on_entry))
    except BaseException as error:
        deployment.summary = live.cut_short(error).summary
        raise
    finally:
        live.kill()


@contextmanager
def _keeping_log(live: LiveRun, on_entry: Callable[[Entry], None]) -> Iterator[None]:
    """Take the log from the manager now and then, which would otherwise hold all of it."""
    ended = threading.Event()

    def keep() -> None:
        with contextlib.suppress(RunError):  # `finish` meets the same, and says so
            while not ended.wait(_LOG_WALL_S):
                live.poll(Listener(on_entry))

    thread = threading.Thread(target=keep, name="keep-log", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def _directory(out: str | Path | None) -> Iterator[Path]:
    if out is not None:
        yield Path(out)
        return
    with TemporaryDirectory(prefix="gearshift-run-") as directory:
        yield Path(directory)
