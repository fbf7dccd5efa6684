"""How telemetry gets to the manager: each worker and the board agent post it on a page, and the manager reads pages.

A worker posts sums since its start and the manager takes differences, so a page that was never read, or read twice,
loses and doubles nothing. A worker that was killed begins its sums anew, and says so.

Posts are made a little before each epoch begins, by the board time that all processes share; nobody is asked, and a
page that is late counts in the next epoch. Who reports what is not known here, nor is what comes of it.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import fields
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple, NoReturn

import msgpack

from actors.clock import Clock
from actors.control.pages import PageReader, PageWriter
from scheduler.estimators import LatencyWindow
from scheduler.messages import AppTelemetry, HostTelemetry, UnitTelemetry
from scheduler.views import Gear

_LEAD_SHARE = 0.1
"""Share of an epoch before its beginning at which posts are made: time for processes to get a core, all at once."""

_UNIT = tuple(field.name for field in fields(UnitTelemetry))
_unit_values = attrgetter(*_UNIT)
_host_values = attrgetter(*(field.name for field in fields(HostTelemetry)))


def app_page(directory: Path, app: str) -> Path:
    """Where an application's page is."""
    return directory / f"report-{app}"


def board_page(directory: Path) -> Path:
    """Where the board's page is."""
    return directory / "report"


def keep_posting(clock: Clock, epoch_s: float, post: Callable[[], object]) -> NoReturn:
    """Posts a little before each multiple of that board time, until `post` raises."""
    lead_s = _LEAD_SHARE * epoch_s
    epoch: float = -math.inf
    while True:
        epoch = max(epoch + 1, math.ceil((clock.now_s() + lead_s) / epoch_s))
        clock.sleep_until(epoch * epoch_s - lead_s)
        post()


class _Sums(NamedTuple):
    """What a worker has reported since its start."""

    life: int  # tells a worker from its predecessor
    arrived: int = 0
    finished: int = 0
    on_time: int = 0
    completed: int = 0
    ratios: float = 0.0


class AppReporter:
    """A worker's end of its application's page."""

    def __init__(self, path: Path) -> None:
        self._page = PageWriter(path)
        self._sums = _Sums(life=time.monotonic_ns())
        self._latencies_ms: deque[float] = deque(maxlen=LatencyWindow.SIZE)  # the manager keeps no more

    def post(self, report: AppTelemetry) -> None:
        """Adds a report to those before it, and puts the sums on the page."""
        sums, completed = self._sums, len(report.latencies_ms)
        self._sums = _Sums(
            life=sums.life,
            arrived=sums.arrived + report.arrived,
            finished=sums.finished + report.finished,
            on_time=sums.on_time + report.on_time,
            completed=sums.completed + completed,
            ratios=sums.ratios + (report.service_ratio or 0.0) * completed,
        )
        self._latencies_ms.extend(report.latencies_ms)
        gear = report.gear and report.gear.plain()
        content = (self._sums, tuple(self._latencies_ms), report.queue_len, gear, report.plan)
        self._page.write(msgpack.packb(content))


class AppReports:
    """The manager's end of an application's page."""

    def __init__(self, app: str, path: Path) -> None:
        self._app = app
        self._page = PageReader(path)
        self._taken = _Sums(life=0)

    def take(self) -> AppTelemetry | None:
        """What was reported since the last call, of latencies the latest; None where nothing was."""
        page = self._page.read()
        if page is None:
            return None
        values, latencies_ms, queue_len, gear, plan = msgpack.unpackb(page)
        sums = _Sums(*values)
        old = self._taken if self._taken.life == sums.life else _Sums(life=sums.life)
        self._taken = sums
        completed = sums.completed - old.completed
        return AppTelemetry(
            app=self._app,
            arrived=sums.arrived - old.arrived,
            finished=sums.finished - old.finished,
            on_time=sums.on_time - old.on_time,
            queue_len=queue_len,
            latencies_ms=tuple(latencies_ms[max(0, len(latencies_ms) - completed) :]),
            service_ratio=(sums.ratios - old.ratios) / completed if completed else None,
            gear=gear and Gear.of(gear),
            plan=plan,
        )


class BoardReporter:
    """The board agent's end of the board's page."""

    def __init__(self, path: Path) -> None:
        self._page = PageWriter(path)

    def post(self, units: tuple[UnitTelemetry, ...], host: HostTelemetry) -> None:
        """Puts the units and the machine on the page, as they were since the last post."""
        self._page.write(msgpack.packb(([_unit_values(unit) for unit in units], _host_values(host))))


class BoardReports:
    """The manager's end of the board's page."""

    def __init__(self, path: Path) -> None:
        self._page = PageReader(path)

    def take(self) -> tuple[tuple[UnitTelemetry, ...], HostTelemetry | None]:
        """The units and the machine as last reported; nothing where that was taken before."""
        page = self._page.read()
        if page is None:
            return (), None
        units, (cores, others, memory_used_mb) = msgpack.unpackb(page)
        host = HostTelemetry(cores=tuple(cores), others=others, memory_used_mb=memory_used_mb)
        return tuple(UnitTelemetry(**dict(zip(_UNIT, unit, strict=True))) for unit in units), host
