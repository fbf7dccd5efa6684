"""A summary of a run that did not come to its end, made of its records and its log as far as they go.

What the run would have measured at its end is unknown: its energy, unless it was still asked for, and the time that
changes took. Counts are of the requests that had arrived. The result is marked as void, since it is not comparable
with that of a whole run, and its `duration_s` is how far the run came.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from actors.requests.records import RECORD, Status
from scheduler.profile import RungProfile
from scheduler.views import Gear
from workloads.mix.arrivals import FloatArray
from workloads.mix.mix import Target
from workloads.results.epoch_log import Entry, LogHeader
from workloads.results.summarize import AppRecords, summarize_app, summarize_manager
from workloads.results.summary import EnergySummary, HostSummary, Summary, UnitSummary, energy_summary
from workloads.results.thinning import changes_of, stood_for

CUT_SHORT = "cut_short"
"""Kind of the log's entry on a run that did not come to its end."""

NO_ENERGY = energy_summary(None, None, units_source="unknown")

_NO_HOST = HostSummary(steal_s=None, stall_ms_max=None, stalled_share=None, void=True)


class SalvageError(ValueError):
    """Too little is left of a run, or it does not fit together; the message says what."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Remains:
    """What is left of a run.

    Attributes:
        header: Header of its log.
        entries: Entries of its log.
        records: Records of each app's requests.
        scheduled_s: Arrivals of each app as they were scheduled for the whole run; empty where clients or a closed
            loop decide, whose arrivals are in the records.
    """

    header: LogHeader
    entries: Sequence[Entry]
    records: Mapping[str, NDArray[np.void]]
    scheduled_s: Mapping[str, FloatArray]


def end_of(remains: Remains) -> float:
    """Return how far a run came, board time: up to the last that was noted, and at most to the end of its mix."""
    seen_s = [float(entry["now_s"]) for entry in remains.entries]
    seen_s += [float(np.nanmax(array["arrival_s"])) for array in remains.records.values() if array.size]
    end_s = max(seen_s, default=0.0)
    return end_s if remains.header.duration_s is None else min(end_s, remains.header.duration_s)


def salvage(
    remains: Remains,
    *,
    now_s: float | None = None,
    gears: Mapping[str, Sequence[Gear]] | None = None,
    energy: EnergySummary = NO_ENERGY,
    host: HostSummary = _NO_HOST,
) -> tuple[Summary, dict[str, FloatArray]]:
    """Summarize what is left of a run.

    Args:
        remains: What is left.
        now_s: How far it came, board time; None for as far as records and log go.
        gears: Gears of each app as they were acknowledged; None for those in the log.
        energy: Energy up to `now_s`.
        host: Stalls of the machine up to `now_s`.

    Returns:
        The summary, and the arrivals of each app up to its end, shape (n,), sorted.

    Raises:
        SalvageError: There is too little, or it does not fit together.
    """
    header = remains.header
    if header.duration_s is None or header.targets is None or header.accuracies is None:
        raise SalvageError("its log is of an earlier version, which does not say what was asked of the apps")
    if not header.targets.keys() == header.accuracies.keys() == header.ladders.keys():
        raise SalvageError("the header of its log names other apps in one place than in another")
    if any(len(ladder) != len(header.accuracies[name]) for name, ladder in header.ladders.items()):
        raise SalvageError("the header of its log has accuracies of other sub-networks than it names")
    end_s = end_of(remains) if now_s is None else min(now_s, header.duration_s)
    epochs = [entry for entry in remains.entries if entry["kind"] == "epoch" and 0 <= entry["now_s"] <= end_s]
    if not epochs or end_s <= 0:
        raise SalvageError("it ended before its first epoch")
    apps, arrivals_s = {}, {}
    for name in header.ladders:
        records = remains.records.get(name, np.empty(0, dtype=RECORD))
        arrivals_s[name] = _arrived_s(remains.scheduled_s.get(name, np.empty(0)), records, end_s)
        apps[name] = AppRecords(
            arrivals_s=arrivals_s[name],
            records=records,
            targets=_in_force(header, name, end_s),
            ladder=[
                RungProfile(subnet=subnet, accuracy=accuracy, accuracy_source=source, times=())
                for subnet, (accuracy, source) in zip(header.ladders[name], header.accuracies[name], strict=True)
            ],
            gears=_logged_gears(remains.entries, name) if gears is None else gears[name],
        )
    try:
        summarized = {name: summarize_app(app) for name, app in apps.items()}
    except (ValueError, IndexError) as error:
        raise SalvageError(f"its records are not those of its log: {error}") from error
    summary = Summary(
        mix=header.mix,
        board=header.board,
        backend="ray",
        policy=header.policy,
        seed=header.seed,
        duration_s=end_s,
        time_scale=header.time_scale,
        apps=summarized,
        units={unit: _unit(unit, remains.entries, epochs) for unit in header.units_mhz},
        energy=energy,
        manager=summarize_manager(
            epochs=sum(stood_for(epochs)),
            overruns=_overruns(epochs, header.epoch_ms / 1000),
            solve_ms=[entry["solve_ms"] for entry in epochs if entry.get("solve_ms") is not None],
        ),
        host=replace(host, void=True),
    )
    return summary, arrivals_s


def _arrived_s(scheduled_s: FloatArray, records: NDArray[np.void], end_s: float) -> FloatArray:
    """Return the arrivals up to the end, and up to the last request that is known to have ended."""
    if not scheduled_s.size:
        noted_s: FloatArray = np.sort(records["arrival_s"][records["status"] == Status.ARRIVED])
        return noted_s
    last_s = float(records["arrival_s"].max()) if records.size else end_s
    return scheduled_s[scheduled_s <= max(end_s, last_s)]


def _in_force(header: LogHeader, app: str, end_s: float) -> list[Target]:
    """Return the targets that came into force; the first at least, also of an app that was to join later."""
    assert header.targets is not None
    first, *later = header.targets[app]
    return [first, *(target for target in later if target.from_s <= end_s)]


def _logged_gears(entries: Sequence[Entry], app: str) -> list[Gear]:
    return [
        Gear.of(entry["to"])
        for entry in entries
        if entry["kind"] == "gear" and entry.get("app") == app and entry.get("to") is not None
    ]


def _unit(unit: str, entries: Sequence[Entry], epochs: Sequence[Entry]) -> UnitSummary:
    """Return the use of a unit as the epochs saw it."""
    points = [
        (epoch["units"][unit], times)
        for epoch, times in zip(epochs, stood_for(epochs), strict=True)
        if unit in epoch["units"]
    ] or [({"busy": 0.0, "mhz": 0.0}, 1)]
    times = [float(times) for _, times in points]
    return UnitSummary(
        busy=float(np.clip(np.average([point["busy"] for point, _ in points], weights=times), 0.0, 1.0)),
        clock_changes=sum(
            changes_of(entry) for entry in entries if entry["kind"] == "clock" and entry.get("unit") == unit
        ),
        mean_mhz=float(np.average([point["mhz"] for point, _ in points], weights=times)),
    )


def _overruns(epochs: Sequence[Entry], epoch_s: float) -> int:
    """Return how many epochs are missing between those that were noted."""
    gaps_s = np.diff([entry["now_s"] for entry in epochs])
    noted = stood_for(epochs)[1:]
    missing = (round(gap_s / epoch_s) - times for gap_s, times in zip(gaps_s, noted, strict=True))
    return int(sum(max(0, times) for times in missing)) if epoch_s > 0 else 0
