"""What the manager knows of the workers' processes: who is down, who stands still, who is out, and what went wrong.

- A lost worker is started again by the rule of `scheduler.restarts`; after too many losses its application is *out*.
- A worker that makes no progress is said to be slow, and its process is ended, by the rule of `scheduler.watchdog`.
- Errors of requests are logged when they first happen, and again at 10, 100, 1000 times.

It knows no gears, plans or cores.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict

from scheduler.messages import AppTelemetry, Effect, Log, RequestFault, StartWorker, StopWorker, Telemetry
from scheduler.restarts import WITHIN_S, Restarts
from scheduler.watchdog import Standstill, Watchdog

_BACK_S = 5.0
"""Time after which it is said that a worker that was to start is not there; on an idle machine it takes two seconds."""


class Workers:
    """The workers of all applications.

    Args:
        epoch_s: time between two ticks.

    Attributes:
        out: applications whose workers are not started again, with the reason.
    """

    def __init__(self, epoch_s: float) -> None:
        self.out: dict[str, str] = {}
        self._epoch_s = epoch_s
        # By application that is down, when its worker is to be started; infinite once that has been asked for.
        self._due_s: dict[str, float] = {}
        self._asked_s: dict[str, float] = {}
        self._restarts: dict[str, Restarts] = {}
        self._dogs: dict[str, Watchdog] = {}
        self._ended: dict[str, str] = {}
        self._logged: dict[tuple[str, int, str, str], int] = {}

    def is_down(self, app: str) -> bool:
        """Return True if an application's worker was lost and is not back."""
        return app in self._due_s

    def lost(self, app: str, reason: str, now_s: float) -> list[Effect]:
        """Take in that a worker is gone, or that one did not come back.

        Args:
            app: the application.
            reason: reason for it, as far as its process shows it. Where the reason is known better, that is said.
            now_s: present time, board time.
        """
        self._dogs.pop(app, None)
        self._asked_s.pop(app, None)
        reason = self._ended.pop(app, reason)
        effects: list[Effect] = [Log(kind="lost", fields={"app": app, "reason": reason})]
        pause_s = self._restarts.setdefault(app, Restarts()).lost(now_s)
        if pause_s is None:
            self._due_s[app] = math.inf
            self.out[app] = reason
            return [*effects, Log(kind="out", fields={"app": app, "reason": reason, "within_s": WITHIN_S})]
        if pause_s > 0:
            self._due_s[app] = now_s + pause_s
            return effects
        return [*effects, self._start(app, now_s)]

    def started(self, app: str) -> None:
        """Take in that a worker is back."""
        self._ended.pop(app, None)
        self._due_s.pop(app, None)
        self._asked_s.pop(app, None)

    def forget(self, app: str) -> None:
        """Forget all of an application: one of its name, with a worker of its own, comes in its place."""
        self.left(app)
        self.started(app)
        self.out.pop(app, None)
        self._restarts.pop(app, None)

    def left(self, app: str) -> None:
        """Forget the progress of an application that has ended."""
        self._dogs.pop(app, None)
        self._asked_s.pop(app, None)

    def hear(self, telemetry: Telemetry) -> list[Effect]:
        """Take in one round of reports; return what is to be logged of it."""
        effects: list[Effect] = []
        for one in telemetry.fenced:
            if not self.is_down(one.app):  # else its loss was told before the reason came
                why = f"{one.why} for {one.held_ms:.0f} ms, more than {one.bound_ms:.0f} ms; it was ended"
                self._ended[one.app] = why
            effects.append(Log(kind="fenced", fields=asdict(one)))
        for report in telemetry.apps:
            if not self.is_down(report.app):
                dog = self._dogs.get(report.app)
                if dog is None:
                    dog = self._dogs[report.app] = Watchdog()
                dog.hear(report)
            effects += [log for fault in report.faults if (log := self._fault(report, fault))]
        return effects

    def look(self, present: Mapping[str, float], stopped: tuple[str, ...], now_s: float) -> list[Effect]:
        """Look at all workers, once an epoch.

        Args:
            present: by application that is there, its latency target in seconds.
            stopped: those whose process is seen to be stopped.
            now_s: present time, board time.

        Returns:
            Orders to start and to end workers, and what is to be logged.
        """
        effects: list[Effect] = []
        for app, due_s in self._due_s.items():
            if due_s <= now_s:
                effects.append(self._start(app, now_s))
        for app, asked_s in list(self._asked_s.items()):
            if now_s - asked_s >= _BACK_S:
                del self._asked_s[app]  # said once
                away = Standstill(why="its worker is not back", for_s=now_s - asked_s, bound_s=None, ends=False)
                effects.append(Log(kind="stuck", fields={"app": app, **asdict(away)}))
        for app, target_s in present.items():
            dog = self._dogs.get(app)
            if dog is None or app in self._ended:
                continue
            still = dog.look(now_s=now_s, epoch_s=self._epoch_s, target_s=target_s, stopped=app in stopped)
            if still is None:
                continue
            effects.append(Log(kind="stuck", fields={"app": app, **asdict(still)}))
            if still.ends:
                self._ended[app] = f"{still.why} for {still.for_s:.1f} s; it was ended"
                effects.append(StopWorker(app=app))
        return effects

    def _start(self, app: str, now_s: float) -> StartWorker:
        self._due_s[app] = math.inf
        self._asked_s[app] = now_s
        return StartWorker(app=app)

    def _fault(self, report: AppTelemetry, fault: RequestFault) -> Log | None:
        key = (report.app, report.worker, fault.where, fault.text)
        logged = self._logged.get(key, 0)
        if fault.times < max(1, 10 * logged):
            return None
        # Logged with the power of ten that it has reached, so that the next is ten times that.
        self._logged[key] = int(10 ** math.floor(math.log10(fault.times)))
        return Log(kind="fault", fields={"app": report.app, "worker": report.worker, **asdict(fault)})
