"""The manager's Ray actor: the manager and its control loop in a process of their own."""

from __future__ import annotations

import threading
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray

from actors.clock import read_clock
from actors.collecting import collect_every_minute
from actors.control.figures import LoopFigures
from actors.control.loop import ControlLoop
from actors.control.ray_transport import RayTransport
from actors.policies import load_policy, located
from actors.reaping import watch_driver
from scheduler.board import Board
from scheduler.manager import AppSpec, Manager
from scheduler.messages import AppJoined, AppLeft, Event, Happening, Standing, UnitLimited, UnitSlowed
from scheduler.objectives import ObjectiveName
from scheduler.solver import COMPILING_S, keeps_code
from scheduler.warming import warm


@dataclass(frozen=True, kw_only=True, slots=True)
class ManagerTask:
    """The facts of a run that the manager's actor needs.

    Attributes:
        board: the board.
        apps: the applications.
        events: (at_s, event) for each event of the mix, rising in board time.
        policy: name of the policy, as for `actors.policies.load_policy`.
        objective: what the policy minimises.
        power_cap_w: most power of the board, in watts; None for no cap.
        epoch_s: board time between two decisions, in seconds.
        until_s: board time at which the loop ends.
    """

    board: Board
    apps: tuple[AppSpec, ...]
    events: tuple[tuple[float, Happening], ...]
    policy: str
    objective: ObjectiveName
    power_cap_w: float | None
    epoch_s: float
    until_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class TakeOver:
    """What a manager needs to go on where one that died left off.

    Attributes:
        at_s: board time up to which the other was told of events.
        standing: where each worker stands that runs.
        plan: a number above those of all plans of the other.
        epoch: number of the other's last epoch.
    """

    at_s: float
    standing: Mapping[str, Standing]
    plan: int
    epoch: int


class ManagerActor:
    """The manager and its loop in a process of their own."""

    def __init__(self, task: ManagerTask, directory: str) -> None:
        watch_driver(lambda: None)
        self._task, self._directory = task, Path(directory)
        self._policy = load_policy(task.policy)
        if getattr(self._policy, "solves", False):
            warm()  # board time begins only when this is done
        self._log: deque[dict[str, object]] = deque()
        self._stop = threading.Event()
        self._fault: str | None = None
        self._figures = LoopFigures()
        self._loop: ControlLoop | None = None
        self._early: list[Callable[[ControlLoop], None]] = []
        self._thread: threading.Thread | None = None

    @ray.method(concurrency_group="control")
    def begin(
        self, workers: Mapping[str, Any], agent: Any, pids: Mapping[str, int], take_over: TakeOver | None = None
    ) -> None:
        """Start the loop on a thread of its own.

        Args:
            workers: handle of each application's worker, by application.
            agent: handle of the board agent.
            pids: process number of each worker, by application.
            take_over: what is needed to go on where another manager left off; None for the first.
        """
        task, clock = self._task, read_clock(self._directory)
        manager = Manager(
            board=task.board,
            apps=task.apps,
            policy=self._policy,
            objective=task.objective,
            power_cap_w=task.power_cap_w,
            epoch_s=task.epoch_s,
            # An emulated board makes networks ready at this machine's own clock.
            prepares_on=None if task.board.emulated else task.board.housekeeper.name,
        )
        past = [one for one in task.events if take_over is not None and one[0] <= take_over.at_s]
        gone: set[str] = set()
        for _, event in past:
            if isinstance(event.change, AppLeft):
                gone.add(event.change.app)
            elif isinstance(event.change, AppJoined):
                gone.discard(event.change.app)
        if take_over is not None:
            told = [(at_s, event) for at_s, event in past if isinstance(event, Event)]
            manager.take_over(told, take_over.standing, take_over.plan)
        loop = ControlLoop(
            manager,
            RayTransport(workers, agent, pids, self._directory, task.epoch_s),
            clock,
            events=task.events[len(past) :],
            apps=[app for app in workers if app not in gone],
            epoch_s=task.epoch_s,
            log=self._log.append,
        )
        loop.figures.epochs = take_over.epoch if take_over is not None else 0
        # The agent may have died together with the other manager, and before it had done what that one told it.
        of_units = [event.change for _, event in past if isinstance(event.change, UnitLimited | UnitSlowed)]
        for change in {(type(change), change.unit): change for change in of_units}.values():
            loop.change_board(change)
        for tell in self._early:
            tell(loop)
        self._loop, self._figures = loop, loop.figures
        collect_every_minute()
        self._thread = threading.Thread(target=self._run, args=(loop,), name="control-loop", daemon=True)
        self._thread.start()

    def _run(self, loop: ControlLoop) -> None:
        try:
            loop.run(self._task.until_s, self._stop.is_set)
        except Exception:
            self._fault = traceback.format_exc()

    @ray.method(concurrency_group="control")
    def use_agent(self, agent: Any) -> None:
        """Go on with another board agent, since the one before has died."""
        if self._loop is not None:
            self._loop.use_agent(agent)

    @ray.method(concurrency_group="control")
    def happens(self, event: Happening) -> None:
        """Have something happen that is not in the mix."""
        self._tell(lambda loop: loop.happens(event))

    @ray.method(concurrency_group="control")
    def add_app(self, spec: AppSpec, worker: Any, pid: int) -> None:
        """Take in an application that an event will have join, and its worker, which runs."""
        self._tell(lambda loop: loop.add_app(spec, worker, pid))

    def _tell(self, tell: Callable[[ControlLoop], None]) -> None:
        if self._loop is None:  # one that takes over, and has not begun
            self._early.append(tell)
        else:
            tell(self._loop)

    @ray.method(concurrency_group="control")
    def take_log(self) -> list[dict[str, object]]:
        """Return the entries of the epoch log since the last call.

        Raises:
            RuntimeError: if the loop died.
        """
        if self._fault is not None:
            raise RuntimeError(f"the control loop died: {self._fault}")
        return [self._log.popleft() for _ in range(len(self._log))]

    @ray.method(concurrency_group="control")
    def finish(self) -> LoopFigures:
        """End the loop, and return its measurements of itself."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        return self._figures


def manager_actor(task: ManagerTask, directory: Path) -> Any:
    """Start the manager, and return its handle."""
    solves = getattr(load_policy(task.policy), "solves", False)
    if solves:
        warm()  # where the code is not on disk yet it is put there now, and not while the actor is waited for
    actor = ray.remote(num_cpus=0, concurrency_groups={"control": 2})(ManagerActor)
    located_task = replace(task, policy=located(task.policy))  # its process may have another current directory
    manager = actor.remote(located_task, str(directory))
    if solves and not keeps_code():
        # It compiles for itself, which takes longer than others wait for its answer. One that dies ends this too.
        ray.wait([manager.__ray_ready__.remote()], timeout=COMPILING_S)
    return manager
