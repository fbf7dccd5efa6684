"""The board agents of a run: the first, and those that take the place of one that died.

A new one finds what it must know in shared memory (`actors.agent.memory`). What nobody can do while there is none is
done by the driver: it reads the ledger where the run's time begins and ends, and gives the board back.
"""

from __future__ import annotations

import contextlib
import math
import time
from pathlib import Path
from typing import Any

import ray

from actors.agent.devices import DeviceError
from actors.agent.devices.hand_back import HandedBack
from actors.agent.hold import recover
from actors.agent.totals import BoardTotals
from actors.clock import BoardClock
from actors.process_identity import ProcessIdentity
from actors.remote import agent_actor, ledger_path
from workloads.runs.answers import answer, has_died
from workloads.runs.board_readings import BoardReadings
from workloads.runs.failure import Failure, RunError
from workloads.runs.plan import RunPlan

MOST_AGENTS = 4
"""Most board agents of a run, one after another: what kills each of them will kill the next."""

_RESTORE_WALL_S = 2.0
"""Longest wait for the board to be given back when a run is cut short."""

_LATE_S = 0.1
"""Most by which the window of an agent's totals may differ from the run's, board time."""


class AgentLives:
    """The board agents of one run.

    Args:
        plan: the run as it was planned.
        directory: the run's directory in shared memory.
        spare: most applications that may come besides those of the plan.

    Attributes:
        handle: handle of the present agent, or of the last one; None before the first.
    """

    def __init__(self, plan: RunPlan, directory: Path, spare: int = 0) -> None:
        self.handle: Any = None
        self._apps = list(plan.apps)
        self._spare = spare
        self._plan = plan
        self._directory = directory
        self._end_s = math.inf
        self._agents = 0
        self._process: ProcessIdentity | None = None
        self._failed: RunError | None = None
        self._totals: Any = None
        self._readings: BoardReadings | None = None

    # ------------------------------------------------------------ coming and going

    def start(self) -> None:
        """Start the process of an agent."""
        plan = self._plan
        self._agents += 1
        self.handle = agent_actor(plan.board, self._apps, self._directory, plan.machine, self._spare)

    def add(self, app: str, slot: int) -> None:
        """Have the agent know an application that comes later, and its slot in the ledger.

        Raises:
            RunError: if the agent failed. Another one, in place of one that died, knows the application too.
        """
        self._apps[slot:] = [app]
        try:
            answer(self.handle.add.remote(app, slot), "the board agent")
        except RunError as error:
            if not has_died(error):
                raise

    def begin(self, clock: BoardClock, end_s: float) -> None:
        """Have the first agent begin, and count what the board does from t = 0 on.

        Args:
            clock: board time.
            end_s: board time up to which is counted; infinite where nobody knows yet.

        Raises:
            RunError: if it does not begin.
        """
        self._end_s = end_s
        self._begin("the board agent", resumes=False)
        machine = self._plan.machine
        self._readings = BoardReadings(ledger_path(self._directory), self._plan.board, machine.tree, clock, end_s)

    def _begin(self, who: str, *, resumes: bool) -> None:
        self._process = ProcessIdentity.of(answer(self.handle.begin.remote(resumes), who))
        self.handle.mark.remote(0.0)
        self._totals = self.handle.totals.remote(self._end_s) if math.isfinite(self._end_s) else None

    @property
    def has_died(self) -> bool:
        """True if the agent has died, and `lost` has not told so yet."""
        return self._process is not None and self._process.alive() is False

    def lost(self) -> bool:
        """Return True if the agent has died since the last call.

        Raises:
            RunError: if it failed otherwise, or died for good.
        """
        if self._failed is not None:
            raise self._failed
        if self.has_died:
            self._process = None
            return True
        if self._process is not None and self._totals is not None and ray.wait([self._totals], timeout=0)[0]:
            try:
                answer(self._totals, "the board agent")
            except RunError as error:
                if not has_died(error):
                    raise
        return False

    def is_wanted(self, now_s: float) -> bool:
        """Return True if there is something left for an agent to do but to give the board back."""
        return now_s < self._end_s

    def replace(self) -> None:
        """Start an agent in place of one that died; one that dies at once is replaced too.

        Raises:
            RunError: if there have been too many, or one can't go on.
        """
        try:
            while self._agents < MOST_AGENTS:
                self.start()
                try:
                    answer(self.handle.__ray_ready__.remote(), "the new board agent")
                    self._begin("the new board agent", resumes=True)
                    return
                except RunError as error:
                    if not has_died(error):
                        raise
            raise RunError(Failure(reason="the board agent died"))
        except RunError as error:
            self._failed = error
            raise

    # ------------------------------------------------------------ what the board did

    def totals(self, now_s: float) -> BoardTotals:
        """Return what the board did; where no agent knows, only what the units did.

        Args:
            now_s: present time, board time; the end where nobody knew it before.

        Raises:
            RunError: if the agent failed.
        """
        end_s = self._end_s if math.isfinite(self._end_s) else now_s
        assert self._readings is not None
        theirs: BoardTotals | None = None
        if self._process is not None:
            try:
                theirs = answer(self._totals or self.handle.totals.remote(end_s), "the board agent")
            except RunError as error:
                if not has_died(error):
                    raise
        if theirs is not None and abs(theirs.duration_s - end_s) <= _LATE_S:
            return theirs
        # One that came late has another window than the run.
        ours = self._readings.totals(end_s, None if theirs is None else theirs.rails)
        nearer = theirs is not None and abs(theirs.duration_s - end_s) < abs(ours.duration_s - end_s)
        return theirs if theirs is not None and nearer else ours

    def totals_now(self, now_s: float, timeout_s: float) -> BoardTotals | None:
        """Return what the board has done up to now; None if it has not begun."""
        with contextlib.suppress(RunError):
            totals: BoardTotals = answer(self.handle.totals_now.remote(), "the board agent", timeout_s)
            return totals
        return None if self._readings is None else self._readings.totals(now_s)

    # ------------------------------------------------------------ the end

    def hand_back(self) -> HandedBack:
        """Have the board given back, by the agent or in its place.

        Raises:
            RunError: if the agent failed.
        """
        if self._process is not None:
            try:
                handed_back: HandedBack = answer(self.handle.restore.remote(), "the board agent")
                return handed_back
            except RunError as error:
                if not has_died(error):
                    raise
        return self._recover() or HandedBack()

    def kill(self) -> None:
        """Give the board back, and end the agent. A second call does nothing."""
        if self.handle is not None:
            with contextlib.suppress(ray.exceptions.RayError):
                ray.get(self.handle.restore.remote(), timeout=_RESTORE_WALL_S)
            ray.kill(self.handle)
        self._recover()
        if self._readings is not None:
            self._readings.close()

    def _recover(self) -> HandedBack | None:
        """Give the board back in place of an agent that died or hung; its hold ends with its process."""
        until_s = time.monotonic() + _RESTORE_WALL_S
        with contextlib.suppress(DeviceError, OSError):  # the journal stays, and the next start reports it
            while (recovered := recover(self._plan.machine)) is None and time.monotonic() < until_s:
                time.sleep(0.05)
            return recovered
        return None
