"""An oracle for the simulator: a board at constant clocks, simulated as directly as its rules can be written.

Every application has one gear. Nothing is kept between two moments but who has which core and who waits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from actors.requests.draws import Draws
from actors.requests.records import Status


@dataclass(kw_only=True, eq=False)
class NaiveApp:
    """An application with its schedule, its only gear and the ends of its requests.

    Attributes:
        cores: names of its cores; the same name is the same core.
        services_ms: times that a request may take at the clock in force, rising, for `Draws` to pick from.
        sizes: factors on them, by request, and from the first again after the last; None where there are no sizes.
        ends: by request: its status, when it got its cores (s; NaN if never) and when it ended (s).
    """

    name: str
    arrivals_s: Sequence[float]
    target_ms: float
    bound: int
    drop: str
    cores: frozenset[object]
    services_ms: Sequence[float]
    sizes: Sequence[float] | None = None
    ends: dict[int, tuple[Status, float, float]] = field(default_factory=dict)
    queue: list[int] = field(default_factory=list)
    arrived: int = 0
    running: int | None = None
    start_s: float = math.nan
    end_s: float = math.inf

    def deadline_s(self, request: int) -> float:
        return self.arrivals_s[request] + self.target_ms / 1000

    @property
    def next_s(self) -> float:
        """The next moment at which it has something to do."""
        arrival_s = self.arrivals_s[self.arrived] if self.arrived < len(self.arrivals_s) else math.inf
        expires = self.drop == "late" and self.asks is not None
        return min(arrival_s, self.end_s, self.deadline_s(self.queue[0]) if expires else math.inf)

    @property
    def asks(self) -> int | None:
        """The request that waits for cores; None if none does."""
        return self.queue[0] if self.running is None and self.queue else None

    def times_ms(self, request: int) -> list[float]:
        """Return the times that a request of its size may take, rising."""
        size = 1.0 if self.sizes is None else self.sizes[request % len(self.sizes)]
        return [size * ms for ms in self.services_ms]

    def is_hopeless(self, request: int, now_s: float) -> bool:
        """Return True if a request is given up for its size, though it has its cores now."""
        known = self.drop == "late" and self.sizes is not None
        return known and now_s + self.times_ms(request)[0] / 1000 > self.deadline_s(request)

    def give_up(self, request: int, now_s: float) -> None:
        self.ends[request] = (Status.DROPPED, math.nan, now_s)

    def give_up_the_late(self, now_s: float) -> None:
        while self.drop == "late" and self.queue and self.deadline_s(self.queue[0]) <= now_s:
            self.give_up(self.queue.pop(0), now_s)

    def close(self, now_s: float) -> None:
        """Let nothing in any more, and give up those that wait and are too late."""
        self.arrived = len(self.arrivals_s)
        self.give_up_the_late(now_s)

    def pass_to(self, now_s: float) -> None:
        """End what is over and let in what arrives."""
        if self.end_s <= now_s:
            self.ends[self.running] = (Status.COMPLETED, self.start_s, now_s)
            self.running, self.end_s = None, math.inf
        while self.arrived < len(self.arrivals_s) and self.arrivals_s[self.arrived] <= now_s:
            self.queue.append(self.arrived)
            self.arrived += 1
            if len(self.queue) > self.bound:
                newcomer = self.queue.pop()
                self.give_up_the_late(now_s)
                if len(self.queue) == self.bound and self.drop == "oldest":
                    self.give_up(self.queue.pop(0), now_s)
                if len(self.queue) < self.bound:
                    self.queue.append(newcomer)
                else:
                    self.give_up(newcomer, now_s)
        if self.running is None:
            self.give_up_the_late(now_s)


def simulate_naively(apps: Sequence[NaiveApp], *, seed: int, closes_s: float, until_s: float) -> None:
    """Run the applications, in the order of their slots; a request that has not ended by `until_s` has no end."""
    closed = False
    while (now_s := min(*(app.next_s for app in apps), math.inf if closed else closes_s)) < until_s:
        asked = [app.asks for app in apps]
        for app in apps:
            app.pass_to(now_s)
            if now_s == closes_s:
                app.close(now_s)
                closed = True
        # Whose request ends or is dropped makes way for those who wait before it asks for its next one.
        _serve(apps, [app for app, before in zip(apps, asked, strict=True) if app.asks == before], seed, now_s)
        while _serve(apps, apps, seed, now_s):
            pass  # the request behind one that was given up asks now


def _serve(apps: Sequence[NaiveApp], asking: Sequence[NaiveApp], seed: int, now_s: float) -> bool:
    """Give free cores to those who ask; return True if a request that had its cores was given up."""
    given_up = False
    taken = {core for app in apps if app.running is not None for core in app.cores}
    waiting = [app for app in asking if app.asks is not None]
    for app in sorted(waiting, key=lambda app: app.deadline_s(app.queue[0])):
        if not taken & app.cores:
            if app.is_hopeless(app.queue[0], now_s):
                app.give_up(app.queue.pop(0), now_s)
                given_up = True
                continue
            app.running, app.start_s = app.queue.pop(0), now_s
            app.end_s = now_s + Draws(seed, app.name).of(app.times_ms(app.running), app.running) / 1000
        taken |= app.cores
    return given_up
