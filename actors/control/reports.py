"""Reports to the manager: each worker and the board agent post telemetry on a page, and the manager reads pages.

- A worker posts its counts since its start, and the manager takes differences. So a page that was never read, or was
  read twice, loses and doubles nothing. The counts of a worker that replaces a killed one begin at 0 again.
- Posts are made a little before each epoch begins, by the board time that all processes share. No process asks
  another, and a page that is late counts in the next epoch.
- It does not know what is counted, or what the manager makes of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

import msgpack

from actors.clock import Clock
from actors.control.pages import PageReader, PageWriter
from actors.worker.totals import WorkerTotals
from scheduler.messages import AppTelemetry, Fenced, HostTelemetry, Repinned, RequestFault, Telemetry, UnitTelemetry
from scheduler.views import Gear

_LEAD_SHARE = 0.1
"""Share of an epoch before its beginning at which posts are made: time for all processes to get a core at once."""


def app_page(directory: Path, app: str) -> Path:
    """Return the path of an application's page."""
    return directory / f"report-{app}"


def board_page(directory: Path) -> Path:
    """Return the path of the board's page."""
    return directory / "report"


def keep_posting(clock: Clock, epoch_s: float, post: Callable[[], object]) -> NoReturn:
    """Post a little before each epoch, until `post` raises.

    With epochs of 0.1 s, posts are made at 0.09 s, 0.19 s, 0.29 s and so on. A post that takes longer than an epoch
    delays no later one.

    Args:
        clock: board time.
        epoch_s: length of an epoch, board time; epochs begin at its multiples.
        post: makes one post.
    """
    lead_s = _LEAD_SHARE * epoch_s
    epoch: float = -math.inf
    while True:
        # The next epoch whose post is not due yet. It is later than the one before even where the sleep ended early.
        epoch = max(epoch + 1, math.ceil((clock.now_s() + lead_s) / epoch_s))
        clock.sleep_until(epoch * epoch_s - lead_s)
        post()


class AppReporter:
    """A worker's end of its application's page.

    Args:
        path: file of the page.
    """

    def __init__(self, path: Path) -> None:
        self._page = PageWriter(path)

    def post(self, totals: WorkerTotals) -> None:
        """Put a worker's counts on the page."""
        gear = totals.gear and totals.gear.plain()
        faults = [_by_name(fault) for fault in totals.faults]
        self._page.write(msgpack.packb({**_by_name(totals), "gear": gear, "faults": faults}))


class AppReports:
    """The manager's end of an application's page.

    Args:
        app: name of the application.
        path: file of the page.
    """

    def __init__(self, app: str, path: Path) -> None:
        self._app = app
        self._page = PageReader(path)
        self._taken: WorkerTotals | None = None

    def take(self) -> AppTelemetry | None:
        """Return what happened between the last call and the latest post; None if nothing was posted since."""
        page = self._page.read()
        if page is None:
            return None
        posted = msgpack.unpackb(page, use_list=False)
        posted["gear"] = posted["gear"] and Gear.of(posted["gear"])
        posted["faults"] = tuple(RequestFault(**fault) for fault in posted["faults"])
        totals, earlier = WorkerTotals(**posted), self._taken
        self._taken = totals
        return totals.since(earlier, self._app)


class BoardReporter:
    """The board agent's end of the board's page.

    Args:
        path: file of the page.
    """

    def __init__(self, path: Path) -> None:
        self._page = PageWriter(path)

    def post(self, report: Telemetry) -> None:
        """Put on the page what happened to the board since the last post; applications are left out."""
        page = {
            "units": [_by_name(unit) for unit in report.units],
            "power_w": report.power_w,
            "host": report.host and _by_name(report.host),
            "rails_w": report.rails_w,
            "repinned": [_by_name(one) for one in report.repinned],
            "fenced": [_by_name(one) for one in report.fenced],
            "board_at_s": report.board_at_s,
        }
        self._page.write(msgpack.packb(page))


class BoardReports:
    """The manager's end of the board's page.

    Args:
        path: file of the page.
    """

    def __init__(self, path: Path) -> None:
        self._page = PageReader(path)

    def take(self) -> Telemetry:
        """Return the latest post as telemetry without applications; nothing at all if it was taken before."""
        page = self._page.read()
        if page is None:
            return Telemetry(apps=(), units=(), power_w=None)
        posted = msgpack.unpackb(page, use_list=False)
        return Telemetry(
            apps=(),
            units=tuple(UnitTelemetry(**unit) for unit in posted["units"]),
            power_w=posted["power_w"],
            host=posted["host"] and HostTelemetry(**posted["host"]),
            rails_w=posted["rails_w"],
            repinned=tuple(Repinned(**one) for one in posted["repinned"]),
            fenced=tuple(Fenced(**one) for one in posted["fenced"]),
            board_at_s=posted["board_at_s"],
        )


def _by_name(values: WorkerTotals | UnitTelemetry | HostTelemetry | Repinned | Fenced | RequestFault) -> dict[str, Any]:
    """Return the fields of a report by their names, unlike `dataclasses.asdict` without copies."""
    return {field.name: getattr(values, field.name) for field in fields(values)}
