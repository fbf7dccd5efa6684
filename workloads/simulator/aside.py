"""Work on a simulated unit beside its requests: it takes longer at a lower clock, and no request waits for it.

It does not know cores or meters: `workloads.simulator.unit` counts the time there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from workloads.simulator.agenda import Agenda


@dataclass(slots=True, eq=False)
class _Job:
    """One piece of work.

    Attributes:
        goal_ms: `AsideWork._progress_ms` at which it is done.
        end_s: when that will be, if the clock stays.
        done: called then.
    """

    goal_ms: float
    done: Callable[[], None]
    end_s: float = 0.0


class AsideWork:
    """The work that is done beside the requests of one unit, each piece as if it had a core of its own.

    For example, 100 ms of work at the top clock of 2000 MHz takes 400 ms at 500 MHz. Where the clock goes up to the
    top after the first 200 ms, it takes 250 ms in all.

    Args:
        agenda: the simulation's agenda.
        settle: brings the unit's meters up to now, and so calls `pass_time`.
        top_mhz: the clock at which a piece takes its stated time.
        mhz: the clock in force.

    Attributes:
        jobs: the pieces that are being worked on.
    """

    def __init__(self, agenda: Agenda, settle: Callable[[], None], *, top_mhz: float, mhz: float) -> None:
        self._agenda = agenda
        self._settle = settle
        self._top_mhz = top_mhz
        self._pace = 1e3 * mhz / top_mhz
        """Stated ms that a piece gets through in a second."""
        self._progress_ms = 0.0
        """The integral of the pace over the time in which there was work."""
        self.jobs: list[_Job] = []

    def begin(self, cpu_ms: float, done: Callable[[], None]) -> None:
        """Begin a piece of work.

        Args:
            cpu_ms: the time that it takes at the top clock.
            done: called when it is done.
        """
        self._settle()
        job = _Job(goal_ms=self._progress_ms + cpu_ms, done=done)
        self.jobs.append(job)
        self._schedule(job)

    def pass_time(self, span_s: float) -> None:
        """Count a span in which the clock and the number of pieces stayed as they are."""
        self._progress_ms += span_s * self._pace

    def set_clock(self, mhz: float) -> None:
        """Go on at another clock; the time at the one before has been counted."""
        self._pace = 1e3 * mhz / self._top_mhz
        for job in self.jobs:
            self._schedule(job)

    def _schedule(self, job: _Job) -> None:
        job.end_s = self._agenda.now_s + max(0.0, job.goal_ms - self._progress_ms) / self._pace
        self._agenda.at(job.end_s, self._end, job)

    def _end(self, job: _Job) -> None:
        # A call that a change of clock has overtaken is known by its time, as in `SimulatedUnit._end`.
        if job.end_s != self._agenda.now_s:
            return
        self._settle()
        job.end_s = math.nan  # equal to no time
        self.jobs.remove(job)
        job.done()
