"""The watch-dogs of workers: who makes no progress, when that is said, and when its process is to be ended.

A worker reports once an epoch what its inference thread does and how many steps it has made. While the thread has
nothing to do, or makes steps, all is well; waiting for cores makes steps. These bounds are of board time:

- It is *said* once a worker stands still for `SLOW_TARGETS` latency targets, at least `LEAST_S`. For example, 2 s at a
  target of 150 ms, and 5 s at one of 500 ms.
- Its process is *ended* when it stands still as long in what is gearshift's own doing, or is stopped.
- It is ended later where it may wait for something with good reason. A source has `INPUT_S`, since a camera may wait
  for its frame: those of gearshift's own give up after 10 s, to which half as much is added. Who hands a result out
  (`on_result`, a score) has `RESULT_S`.
- A worker that does not report at all, though its process is not stopped, has `SILENT_S`: a library may keep all
  threads of the process waiting while it makes a network ready.
- A network that runs on its cores is left to the ledger, which bounds how long cores are held.

Time counts only as far as the manager saw it pass: at most two epochs at each look.

It knows no clock, no process and no ledger.
"""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.messages import AppTelemetry

SLOW_TARGETS = 10.0
LEAST_S = 2.0
INPUT_S = 15.0
RESULT_S = 5.0
SILENT_S = 5.0

_DOES: dict[str, str] = {
    "input": "its source does not return",
    "cores": "it does not get on with waiting for cores",
    "run": "its network does not return",
    "result": "its score, its client or on_result does not return",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Standstill:
    """A worker that makes no progress.

    Attributes:
        why: what it does, in words.
        for_s: time for which it has stood still, board time.
        bound_s: time after which its process is ended; None where that is left to others.
        ends: True if that time has come.
    """

    why: str
    for_s: float
    bound_s: float | None
    ends: bool


class Watchdog:
    """The watch-dog of one worker, from its start to its end."""

    def __init__(self) -> None:
        self._looked_s: float | None = None
        self._latest: AppTelemetry | None = None
        self._reported = False
        self._still_s = 0.0
        self._silent_s = 0.0
        self._said = False

    def hear(self, report: AppTelemetry) -> None:
        """Take in a report."""
        before, self._latest, self._reported = self._latest, report, True
        # A thread with nothing to do stands still for as long as nothing comes.
        if report.phase == "idle" or before is None or (before.worker, before.beats) != (report.worker, report.beats):
            self._still_s, self._said = 0.0, False

    def look(self, *, now_s: float, epoch_s: float, target_s: float, stopped: bool) -> Standstill | None:
        """Look at the worker, once an epoch; return what is to be said of it, if anything, each standstill once.

        Args:
            now_s: present time, board time.
            epoch_s: length of an epoch.
            target_s: the application's latency target.
            stopped: True if its process is seen to be stopped.
        """
        passed_s = 0.0 if self._looked_s is None else min(now_s - self._looked_s, 2 * epoch_s)
        self._looked_s = now_s
        if self._latest is None:  # it has not begun to report yet
            return None
        reported, self._reported = self._reported, False
        phase = self._latest.phase
        if reported and phase == "idle":
            self._silent_s = 0.0
            return None
        slow_s = max(LEAST_S, SLOW_TARGETS * target_s)
        if reported:
            self._silent_s = 0.0
            self._still_s += passed_s
            later_s = {"input": INPUT_S, "result": RESULT_S}
            bound_s = None if phase == "run" else max(slow_s, later_s.get(phase, 0.0))
            return self._judge(_DOES[phase], self._still_s, slow_s, bound_s)
        self._silent_s += passed_s
        slow_s = max(slow_s, 3 * epoch_s)  # a report that is late counts in the next epoch
        bound_s = slow_s if stopped else max(SILENT_S, slow_s)
        why = "its process is stopped" if stopped else "it does not report"
        return self._judge(why, self._silent_s, slow_s, bound_s)

    def _judge(self, why: str, for_s: float, slow_s: float, bound_s: float | None) -> Standstill | None:
        ends = bound_s is not None and for_s >= bound_s
        if not ends and (self._said or for_s < slow_s):
            return None
        self._said = True
        return Standstill(why=why, for_s=for_s, bound_s=bound_s, ends=ends)
