"""What went wrong with the applications of a run: kept while it runs, added up at its end.

Requests' errors are counted by each worker since its start, so those of an application are summed over its workers. It
knows no Ray.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from actors.worker.status import WorkerStatus
from scheduler.messages import RequestFault
from workloads.results.entry_words import order_words
from workloads.results.summary import Summary

Entry = dict[str, Any]


class TroubleBook:
    """The troubles of one run."""

    def __init__(self) -> None:
        # By application, and by worker, place and text: how often, and to which request first.
        self._faults: dict[str, dict[tuple[int, str, str], tuple[int, int]]] = defaultdict(dict)
        self._losses: Counter[str] = Counter()
        self._out: dict[str, str] = {}
        self._ran: set[str] = set()
        self._why_not: dict[str, str] = {}

    def note(self, entry: Entry) -> None:
        """Take in an entry of the epoch log."""
        app = entry.get("app")
        match entry["kind"]:
            case "fault":
                fault = RequestFault(**{key: entry[key] for key in ("where", "text", "times", "first")})
                self._add(entry["app"], entry["worker"], fault)
            case "gear" if entry["to"] is not None:
                self._ran.add(entry["app"])
            case "lost":
                self._losses[entry["app"]] += 1
            case "out":
                self._out[entry["app"]] = entry["reason"]
            case "error" if app:
                self._why_not[app] = entry["text"]
            case "unhealthy" if app:
                self._why_not[app] = f"its worker did not answer to {order_words(entry['waiting_for'])}"
            case "event" if " waits: " in entry["text"]:
                name, _, why = entry["text"].partition(" waits: ")
                self._why_not[name] = why

    def end(self, statuses: Mapping[str, WorkerStatus | None], summary: Summary, now_s: float) -> list[Entry]:
        """Add up, and return an entry for each application that has a trouble.

        An application *never ran* if requests came and no gear of it was ever in force, or if it was given up before
        it completed one.

        Args:
            statuses: last status of each application's worker; None for one that was lost.
            summary: summary of the run.
            now_s: present time, board time.
        """
        for app, status in statuses.items():
            for fault in status.faults if status else ():
                self._add(app, status.worker if status else 0, fault)
        entries = []
        for app, outcome in summary.apps.items():
            never_ran = None
            if outcome.submitted and (app not in self._ran or (app in self._out and not outcome.completed)):
                never_ran = self._out.get(app) or self._why_not.get(app) or "no gear was ever in force"
            entry = {
                "kind": "troubles",
                "now_s": now_s,
                "app": app,
                "losses": self._losses[app],
                "out": self._out.get(app),
                "never_ran": never_ran,
                "faults": [asdict(fault) for fault in self._summed(app)],
            }
            if entry["losses"] or entry["out"] or never_ran or entry["faults"]:
                entries.append(entry)
        return entries

    def _add(self, app: str, worker: int, fault: RequestFault) -> None:
        self._faults[app][worker, fault.where, fault.text] = fault.times, fault.first

    def _summed(self, app: str) -> list[RequestFault]:
        """Return the errors of an application over all its workers, the most frequent first."""
        times: Counter[tuple[str, str]] = Counter()
        firsts: dict[tuple[str, str], int] = {}
        for (_, where, text), (count, first) in self._faults[app].items():
            times[where, text] += count
            firsts[where, text] = min(first, firsts.get((where, text), first))
        return [
            RequestFault(where=where, text=text, times=count, first=firsts[where, text])
            for (where, text), count in times.most_common()
        ]
