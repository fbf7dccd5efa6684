"""Operating points: latency and energy of each sub-network on each unit, number of cores and clock, at an app's rate.

They are built from a board and a measured profile alone, as if the app had its cores to itself. This module does not
know targets, other apps or how a point is chosen.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from scheduler.board import Board, BoardUnit
from scheduler.errors import InputError, did_you_mean
from scheduler.problem import FULL_LOAD, Points, PointTable
from scheduler.profile import Profile, ServiceTime
from scheduler.queues import periodic_response, poisson_response
from scheduler.request_clock import changes_mj

FloatArray = NDArray[np.float64]
ArrivalKind = Literal["periodic", "poisson", "saturate"]

_MAX_QUEUE_LOAD = 0.99
"""Load at which an overloaded queue is priced: its true response has no quantile, and latency must be finite."""

_MAX_SHARE = 0.9999
"""Share of waits that is covered where the slo asks for all of them: a random queue has no longest wait."""


MISSES_PLANNED = 0.5
"""Share of the misses that an slo permits which a plan uses up; the rest is for what no plan foresees."""


class PointsError(InputError):
    """Operating points cannot be built; the message names the field, its value and the fix."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ArrivalModel:
    """The arrival process of an app's requests, as far as their waiting depends on it.

    Recorded arrivals and a client's own are best taken for Poisson at their observed rate.

    Attributes:
        kind: `periodic`, `poisson`, or `saturate` for a closed loop, where the next request comes with the last
            result and so never waits.
        rate_hz: mean arrivals a second; ignored where the kind is `saturate`.
        jitter_ms: largest delay of a periodic release, in ms.
    """

    kind: ArrivalKind
    rate_hz: float = 0.0
    jitter_ms: float = 0.0

    def __post_init__(self) -> None:
        kinds = get_args(ArrivalKind)
        if self.kind not in kinds:
            raise PointsError(
                f"arrivals: kind is {self.kind!r}; it must be one of {', '.join(kinds)}."
                + did_you_mean(str(self.kind), kinds)
            )
        _check_at_least_0("arrivals: rate_hz", self.rate_hz)
        _check_at_least_0("arrivals: jitter_ms", self.jitter_ms)


def operating_points(
    board: Board,
    profile: Profile,
    *,
    app: str,
    arrivals: ArrivalModel,
    slo: float,
    min_accuracy: float = 0.0,
    service_ratio: float = 1.0,
    margin: float = 0.0,
    paced: Collection[str] = (),
) -> Points:
    """Price every sub-network on every unit, number of cores and clock that it was profiled for.

    Service time is the profiled time over `BoardUnit.pace`, by the network's own memory share where the profile has it,
    times `service_ratio`. From it follow

    - `latency_ms`, the slo quantile of the response (see `response_quantile_ms`), times 1 + `margin`;
    - `energy_mj`, what it takes above the power of an idle unit: (dynamic_w · activity · cores + (1 - idle_share) ·
      static_w) · mean service time. Where two applications keep a unit busy at once the last term counts twice, so it
      is an upper bound there. Where the board has no power figures energy is unknown and stands as 0.0; whoever reports
      energy must say so (`BoardUnit.dynamic_w` is None);
    - `accuracy`, the rung's. An unknown one stands as 0.0, which nothing relies on: there is no floor then.

    A network profiled at 20 ms on a core of pace 0.5 that takes 1 W has a service time of 40 ms and takes 40 mJ. At
    ten periodic requests a second it is busy 0.4 of the time, nothing waits, and `latency_ms` is 40 times 1 + `margin`.

    Where the unit has idle states, the time to wake up is added as `_Lane.exits_ms` says.

    Points with rate · service time above `FULL_LOAD` are left out unless all are. All clocks of the board given are
    priced; a caller that has limits hands in the board under them.

    Args:
        board: the units.
        profile: the profile of the app's ladder.
        app: name of the app, for messages.
        arrivals: how its requests come.
        slo: share of the requests whose response time `latency_ms` covers, above 0 and at most 1.
        min_accuracy: accuracy floor of the app, a fraction; 0 for none.
        service_ratio: observed over profiled service time, above 0.
        margin: share added to the latency for what the runtime itself takes, at least 0.
        paced: names of the units that stand at their lowest clock while nobody is served. Energy there is above the
            power of the unit that idles at its lowest clock, not at the point's, and has the changes of clock in it.

    Returns:
        At least one point, ordered by rung, then by profiled cores, unit and clock.

    Raises:
        PointsError: if a figure is out of range, if nothing was profiled for a unit of this board, or if there is an
            accuracy floor and an accuracy is unknown (`check_accuracy`).
    """
    check_accuracy(profile, app=app, min_accuracy=min_accuracy)
    if not 0 < slo <= 1:
        raise PointsError(f"app {app!r}: slo is {slo!r}; it must be above 0 and at most 1.")
    if not 0 < service_ratio < math.inf:
        raise PointsError(f"app {app!r}: service_ratio is {service_ratio!r}; it must be a finite number above 0.")
    _check_at_least_0(f"app {app!r}: margin", margin)

    # All units and clocks of a time at once, as columns, since an app may have thousands of points.
    lanes: dict[tuple[str, int], _Lane] = {}
    units = tuple(unit.name for unit in board.units)
    unit, mhz, columns, blocks = [], [], [], []
    for index, rung in enumerate(profile.rungs):
        for time in rung.times:
            where = (time.kind, time.cores)
            lane = lanes.get(where) or lanes.setdefault(where, _Lane.of(board, *where, paced))
            stretch = service_ratio / lane.pace(time.memory_share)
            mean_exit_ms, exit_ms = lane.exits_ms(time.mean_ms * stretch, arrivals, slo)
            service_ms = time.mean_ms * stretch + mean_exit_ms
            response_ms = response_quantile_ms(time, stretch, arrivals=arrivals, slo=slo) + exit_ms
            energy_mj = (lane.dynamic_w * time.activity + lane.woken_w) * service_ms + lane.changes_mj
            unit.append(lane.unit)
            mhz.append(lane.mhz)
            columns.append(((1 + margin) * response_ms, service_ms, energy_mj))
            blocks.append((len(lane.mhz), index, time.cores, rung.accuracy or 0.0))
    if not sum(map(len, mhz)):
        raise PointsError(
            f"app {app!r}: supernet {profile.supernet!r} was not profiled for any unit of board {board.name!r}; "
            f"run `gearshift profile {profile.supernet}` with this board."
        )
    sizes, *by_time = zip(*blocks, strict=True)
    subnet, cores, accuracy = (np.repeat(np.array(one), sizes) for one in by_time)
    figures = np.concatenate([np.stack(one) for one in columns], axis=1)
    table = PointTable(
        subnets=tuple(rung.subnet for rung in profile.rungs),
        units=units,
        subnet=subnet,
        unit=np.concatenate(unit),
        columns=np.stack((cores.astype(np.float64), np.concatenate(mhz), *figures, accuracy)),
    )
    fits = arrivals.rate_hz * table.columns[3] / 1000 <= FULL_LOAD + 1e-9
    some = arrivals.kind != "saturate" and fits.any() and not fits.all()
    return Points(table.only(fits) if some else table)


def planned_share(slo: float) -> float:
    """Return the share of requests that a plan is to have on time, so that the slo is met: 0.975 for an slo of 0.95."""
    return 1 - (1 - slo) * MISSES_PLANNED


def check_accuracy(profile: Profile, *, app: str, min_accuracy: float) -> None:
    """Refuse an accuracy floor where the accuracy of a sub-network is unknown.

    With accuracies (0.6, None, 0.9) every floor above 0 is refused; without a floor the ladder is fine.

    Args:
        profile: the profile of the app's ladder.
        app: name of the app, for the message.
        min_accuracy: the floor, a fraction; 0 for none.

    Raises:
        PointsError: the message names the app and the first such sub-network.
    """
    if not min_accuracy > 0:
        return
    for rung in profile.rungs:
        if rung.accuracy is None:
            raise PointsError(
                f"app {app!r}: min_accuracy is {min_accuracy!r}, but the accuracy of sub-network {rung.subnet!r} of "
                f"{profile.supernet!r} is unknown; give its accuracy, or leave min_accuracy out."
            )


def response_quantile_ms(time: ServiceTime, stretch: FloatArray, *, arrivals: ArrivalModel, slo: float) -> FloatArray:
    """Return the slo quantile of waiting plus service time, first come first served, one request at a time.

    - `saturate`: nothing waits, so it is the quantile of the service time.
    - `periodic`: the quantile of the service time where no service plus jitter exceeds the period, since then nothing
      waits: latency counts from the arrival, and jitter only brings requests closer together. Otherwise see
      `scheduler.queues`. At ten requests a second with a jitter of 60 ms a service of 20 ms never waits, and one of
      50 ms does.
    - `poisson`: the M/G/1 queue, see `scheduler.queues`.

    Args:
        time: the service time as profiled.
        stretch: how many times as long it takes, shape (n,).
        arrivals: how requests come.
        slo: which quantile, above 0 and at most 1.

    Returns:
        Milliseconds, shape (n,), finite. A queue that grows without end is priced as one with a load of 0.99 whose
        services vary at least as much as exponential ones (periodic), or just as they do (Poisson).
    """
    mean_ms = time.mean_ms * stretch
    quantile_ms = time.quantile_ms(slo) * stretch
    if arrivals.kind == "saturate":
        return quantile_ms
    share = min(slo, _MAX_SHARE)
    load = np.minimum(arrivals.rate_hz * mean_ms / 1000, _MAX_QUEUE_LOAD)
    if arrivals.kind == "poisson":
        poisson_ms: FloatArray = np.maximum(poisson_response(time, share, load) * mean_ms, quantile_ms)
        return poisson_ms
    period_ms = 1000 / arrivals.rate_hz if arrivals.rate_hz else math.inf
    waits = time.samples_ms[-1] * stretch + arrivals.jitter_ms > period_ms
    if not waits.any():
        return quantile_ms
    jitter = arrivals.jitter_ms / period_ms
    response_ms = np.maximum(periodic_response(time, share, load, jitter=jitter) * mean_ms, quantile_ms)
    # Kingman's mean wait in heavy traffic (Proc. Cambridge Phil. Soc. 57, 1961) for services as varied as exponential
    # ones is load / (1 - load) / 2 services; an exponential's quantile is its mean times -log(1 - share).
    endless_ms = quantile_ms - math.log1p(-share) * load / (2 * (1 - load)) * mean_ms
    response_ms = np.where(mean_ms >= period_ms, np.maximum(response_ms, endless_ms), response_ms)
    return np.where(waits, response_ms, quantile_ms)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Lane:
    """The clocks of all units that have so many cores of a kind, one after another, as columns.

    Attributes:
        units: the units.
        unit: by clock the index of its unit in the board.
        mhz: by clock its MHz.
        unit_pace: the pace at each clock of networks without a memory share of their own.
        dynamic_w: power of all the cores together above static power, at each clock; 0 where unknown.
        woken_w: power of the unit's static part above that of an idle unit; 0 where unknown.
        changes_mj: energy of bringing a paced unit to the clock and back to its lowest; 0 where it stays.
        residency_ms: (states, clocks): how long a core is idle before it falls into each idle state of its unit.
        exit_ms: (states, clocks): by how much waking up from it takes longer than from the state before.
    """

    units: tuple[BoardUnit, ...]
    unit: NDArray[np.intp]
    mhz: FloatArray
    unit_pace: FloatArray
    dynamic_w: FloatArray
    woken_w: FloatArray
    changes_mj: FloatArray
    residency_ms: FloatArray
    exit_ms: FloatArray

    @classmethod
    def of(cls, board: Board, kind: str, cores: int, paced: Collection[str]) -> _Lane:
        """Return the clocks of the units of that kind with at least so many cores."""
        here = [(place, one) for place, one in enumerate(board.units) if one.kind == kind and one.cores >= cores]
        units = tuple(unit for _, unit in here)
        counts = [len(unit.mhz) for unit in units]
        unknown = [(0.0,) * len(unit.mhz) for unit in units]
        watts = [w for unit, zero in zip(units, unknown, strict=True) for w in unit.dynamic_w or zero]
        woken_w = [
            w - unit.idle_share * (static_w[0] if unit.name in paced else w)
            for unit, zero in zip(units, unknown, strict=True)
            for static_w in [unit.static_w or zero]
            for w in static_w
        ]
        change_mj = changes_mj((unit.mhz, unit.dynamic_w) for unit in board.units if unit.kind == "cpu")
        depth = max((len(unit.idle_states) for unit in units), default=0)
        by_unit = np.array([_idle_states(unit, depth) for unit in units]).reshape(len(units), depth, 2)
        states = np.repeat(by_unit, counts, axis=0).swapaxes(0, 1)
        return cls(
            units=units,
            unit=np.repeat(np.array([place for place, _ in here], dtype=np.intp), counts),
            mhz=np.array([mhz for unit in units for mhz in unit.mhz], dtype=np.float64),
            unit_pace=_paces(units, None),
            dynamic_w=cores * np.array(watts),
            woken_w=np.array(woken_w),
            changes_mj=np.array(
                [change_mj if unit.name in paced and mhz > unit.mhz[0] else 0.0 for unit in units for mhz in unit.mhz]
            ),
            residency_ms=states[:, :, 0],
            exit_ms=states[:, :, 1],
        )

    def pace(self, memory_share: float | None) -> FloatArray:
        """Return the pace at each clock of a network with that memory share; None for the units'."""
        return self.unit_pace if memory_share is None else _paces(self.units, memory_share)

    def exits_ms(self, service_ms: FloatArray, arrivals: ArrivalModel, slo: float) -> tuple[FloatArray, FloatArray]:
        """Return what waking up adds to the mean service and to the slo quantile of the response.

        A core that has been idle for a state's `residency_us` begins `exit_us` late. Periodic requests find it idle for
        the period less the service. Of Poisson ones a share 1 - load finds it idle, and of these a share
        exp(-rate · residency) has let it idle for so long. The quantile gets the exit latency of the deepest state that
        more than 1 - slo of the requests meet. In a closed loop no core falls asleep.

        Args:
            service_ms: mean service at each clock, in ms.
            arrivals: how requests come.
            slo: which quantile, above 0 and at most 1.
        """
        mean_ms, quantile_ms = np.zeros_like(service_ms), np.zeros_like(service_ms)
        if arrivals.kind == "saturate":
            return mean_ms, quantile_ms
        period_ms = 1000 / arrivals.rate_hz if arrivals.rate_hz else math.inf
        for residency_ms, exit_ms in zip(self.residency_ms, self.exit_ms, strict=True):
            if arrivals.kind == "periodic":
                share = (period_ms - service_ms >= residency_ms).astype(np.float64)
            else:
                share = np.maximum(0.0, 1 - service_ms / period_ms) * np.exp(-residency_ms / period_ms)
            mean_ms += share * exit_ms
            quantile_ms += np.where(share > 1 - slo, exit_ms, 0.0)
        return mean_ms, quantile_ms


def _paces(units: Sequence[BoardUnit], memory_share: float | None) -> FloatArray:
    return np.array([unit.pace(mhz, memory_share) for unit in units for mhz in unit.mhz])


def _idle_states(unit: BoardUnit, depth: int) -> list[tuple[float, float]]:
    """Return the residency of each idle state, and by how much its exit latency exceeds that of the states before.

    Both are in ms. A unit with fewer states has others up to `depth` that cost nothing.
    """
    states, so_far_us = [], 0.0
    for state in unit.idle_states:
        longest_us = max(so_far_us, state.exit_us)
        states.append((1e-3 * state.residency_us, 1e-3 * (longest_us - so_far_us)))
        so_far_us = longest_us
    return states + [(0.0, 0.0)] * (depth - len(states))


def _check_at_least_0(name: str, value: float) -> None:
    if not 0 <= value < math.inf:
        raise PointsError(f"{name} is {value!r}; it must be a finite number of at least 0.")
