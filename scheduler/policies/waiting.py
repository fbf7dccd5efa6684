"""The waiting of applications that share CPUs, for plans: what the model of contention says of a choice of points.

`scheduler.contention` knows service times, arrivals and CPUs. This module takes those from a snapshot and a choice, and
turns the answer into the linear form of `scheduler.problem`. It does not choose anything.
"""

from __future__ import annotations

from collections.abc import Mapping

from scheduler.app_knowledge import MARGIN
from scheduler.contention import Sharer, wait_shares
from scheduler.points import planned_share
from scheduler.problem import OperatingPoint
from scheduler.profile import ServiceTime
from scheduler.views import AppView, Snapshot


def sharers_of(
    snapshot: Snapshot, choice: Mapping[str, OperatingPoint], cpus: Mapping[str, tuple[int, ...]], unit: str
) -> dict[str, Sharer]:
    """Return the applications of a unit as the model of contention knows them, in the order of the snapshot.

    A camera that runs a network of 20 ms at half its pace, at ten requests a second, is one with a stretch of 2.

    Args:
        snapshot: what the decision rests on; the service time of a view without a profile is taken to be constant.
        choice: by application, the point taken.
        cpus: by application, the numbers of its CPUs: those of the kernel or of the unit. On a GPU they do not count.
        unit: name of the unit.
    """
    kind = next(one.kind for one in snapshot.units if one.name == unit)
    return {
        view.app: _sharer(view, choice[view.app], kind, cpus[view.app] if kind == "cpu" else (0,))
        for view in snapshot.apps
        if choice[view.app].unit == unit
    }


def _sharer(view: AppView, point: OperatingPoint, kind: str, cpus: tuple[int, ...]) -> Sharer:
    if view.profile is None:
        time = ServiceTime(kind=kind, cores=point.cores, samples_ms=(point.busy_ms,))
    else:
        times = view.profile.rung(point.subnet).times
        time = next(time for time in times if (time.kind, time.cores) == (kind, point.cores))
    return Sharer(
        time=time,
        stretch=point.busy_ms / time.mean_ms,
        arrivals=view.arrival_model,
        target_ms=view.target_ms,
        slo=planned_share(view.slo),
        cpus=cpus,
        phase_ms=view.phase_ms,
    )


def wait_shares_of(
    snapshot: Snapshot, choice: Mapping[str, OperatingPoint], cpus: Mapping[str, tuple[int, ...]]
) -> dict[str, float]:
    """Return which part of the others' services each application waits for (`Demand.wait_share`).

    With it `latency_ms` + part · sum of `busy_ms` of those that have a CPU in common is the quantile that the model of
    contention says, times 1 + the margin that `latency_ms` has in it already.

    Two cameras at ten requests a second with services of 20 ms share a CPU. Of each one's requests 97.5 % take up to
    37.5 ms, which is a part of 0.875. Points that are 21 ms with a margin of 5 % become 39.4 ms: a part of 0.92.

    Args:
        snapshot: what the decision rests on, as for `sharers_of`.
        choice: by application, the point taken.
        cpus: by application, the numbers of its CPUs, as for `sharers_of`.

    Returns:
        By application of the snapshot, a number of at least 0; 0 for one that shares no CPU.
    """
    margins = {view.app: MARGIN + view.margin for view in snapshot.apps}
    shares: dict[str, float] = {}
    for unit in {choice[view.app].unit for view in snapshot.apps}:
        sharers = sharers_of(snapshot, choice, cpus, unit)
        found = wait_shares(list(sharers.values()))
        shares.update((app, (1 + margins[app]) * share) for app, share in zip(sharers, found, strict=True))
    return {view.app: shares[view.app] for view in snapshot.apps}
