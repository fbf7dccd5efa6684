"""One application of a simulation: its requests, its queue, and the gear that serves them one at a time.

A worker of a real run (`actors.worker.worker`) shares these modules with it, so the rules are the same:

- `actors.requests.queue` and `least_time`: arrivals, the queue and its drop rules.
- `actors.requests.draws`: the luck of each request.
- `actors.requests.floors`: the sub-networks that may serve a request.
- `actors.requests.records`: the record of a request.

As there, the gear changes between two requests, and the queue is drained at the end. The network itself is left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from actors.requests.draws import Draws
from actors.requests.floors import Floors
from actors.requests.queue import Drop, Intake, Request, RequestQueue
from actors.requests.records import Status, record, table
from actors.requests.turns import mask_of
from scheduler.messages import AppTelemetry
from scheduler.profile import Profile
from scheduler.views import Gear
from workloads.mix.app import App
from workloads.mix.arrivals import FloatArray, Saturate
from workloads.mix.mix import Target
from workloads.simulator.agenda import Agenda
from workloads.simulator.claim import CoreClaim
from workloads.simulator.gear import Luck, Serving, SimulatedGear
from workloads.simulator.unit import SimulatedUnit


class SimulatedServer:
    """The server of one application's requests.

    Args:
        app: the application as the mix declares it.
        slot: number of the application.
        profile: profile of its ladder.
        targets: its targets, in order of time.
        arrivals_s: its scheduled arrivals.
        until_s: when its presence in the mix ends.
        seed: seed of service times.
        noise: coefficient of variation of the factor on them.
        wake_ms: mean time until the worker asks for a request's cores, from its arrival or from the end of the request
            before.
        units: the board's units by name, in the order of the board.
        agenda: the simulation's agenda.
    """

    def __init__(
        self,
        app: App,
        *,
        slot: int,
        profile: Profile,
        targets: tuple[Target, ...],
        arrivals_s: FloatArray,
        until_s: float,
        seed: int,
        noise: float,
        wake_ms: float,
        units: Mapping[str, SimulatedUnit],
        agenda: Agenda,
    ) -> None:
        self._name = app.name
        self._slot = slot
        self._profile = profile
        self._units = units
        self._agenda = agenda
        self._luck = Luck(Draws(seed, app.name, noise), len(arrivals_s))
        self._wakes = Luck(Draws(seed, f"{app.name} wakes"), len(arrivals_s))
        self._wake_s = wake_ms / 1000
        self._saturate = isinstance(app.arrivals, Saturate)
        self._from_s, self._until_s = targets[0].from_s, until_s
        self._queue = RequestQueue(app.queue_bound(until_s - targets[0].from_s), app.drop, renews=self._saturate)
        self._intake = Intake(
            arrivals_s=arrivals_s,
            segments=tuple((target.from_s, target.latency_ms) for target in targets),
            queue=self._queue,
        )
        self._floors = Floors(tuple((target.from_s, target.min_accuracy) for target in targets), profile)
        self._engaged: SimulatedGear | None = None
        self._plan = -1
        self._serving: Serving | None = None
        self._running = False
        self._looks_s = math.inf
        self._quiet_until_s = -math.inf
        """Until then nothing arrives and nothing in the queue is dropped, so the queue need not be looked at."""
        self._closed = self._over = False
        self._records: list[tuple[float, ...]] = []
        self._reported_arrivals = self._finished = self._on_time = 0
        self._latencies_ms: list[float] = []
        self._ratios: list[float] = []
        self._look_at(self._from_s)

    # ------------------------------------------------------------ control

    def activate(self, gear: Gear, cpus: tuple[int, ...], plan: int) -> None:
        """Change gear. The next request to get its cores gets those of this gear, and runs in it.

        Args:
            gear: the gear.
            cpus: the kernel's numbers of its cores; none on a GPU.
            plan: number of the plan that it serves.
        """
        unit = self._units[gear.unit]
        time = self._profile.service(gear.subnet, unit.spec.kind, gear.cores)
        cores = tuple(unit.spec.cpus.index(cpu) for cpu in cpus) if unit.spec.kind == "cpu" else (0,)
        self._plan = plan
        self._engaged = SimulatedGear(
            gear=gear,
            cores=cores,
            mask=mask_of(cores),
            unit=unit,
            unit_number=list(self._units).index(gear.unit),
            subnet=[rung.subnet for rung in self._profile.rungs].index(gear.subnet),
            time=time,
            active=time.activity * len(cores),
        )
        if not self._running:
            self._look()

    def drain(self, end_s: float) -> None:
        """Let no more requests in. What is left at `end_s` has no end in the records."""
        self._admit()
        self._intake.close()
        self._closed = True
        self._agenda.at(end_s, self._stop)

    def telemetry(self) -> AppTelemetry:
        """Return what happened since the last call."""
        self._admit()
        arrived = self._intake.arrived - self._reported_arrivals
        self._reported_arrivals += arrived
        ratios = self._ratios
        report = AppTelemetry(
            app=self._name,
            arrived=arrived,
            finished=self._finished,
            on_time=self._on_time,
            queue_len=len(self._queue),
            latencies_ms=tuple(self._latencies_ms),
            service_ratio=math.fsum(ratios) / len(ratios) if ratios else None,
            gear=self._engaged.gear if self._engaged else None,
            plan=self._plan,
        )
        self._finished = self._on_time = 0
        self._latencies_ms, self._ratios = [], []
        return report

    def records(self) -> NDArray[np.void]:
        """Return the records of its requests, of dtype `RECORD`."""
        return table(self._records)

    # ------------------------------------------------------------ requests

    def _woken(self, _: object) -> None:
        if self._agenda.now_s != self._looks_s:  # it was to look sooner, and did
            return
        self._looks_s = math.inf
        if not self._running:
            self._look()

    def _look(self) -> None:
        """Do what there is to do while none of its requests has cores."""
        if self._over:
            return
        if self._agenda.now_s >= self._quiet_until_s:
            self._admit()
        head, engaged, serving = self._queue.head, self._engaged, self._serving
        if head is None and self._saturate and engaged is not None:
            head = self._renewed()
        if serving is not None and (head is not serving.request or engaged is not serving.engaged):
            self._give_up(serving)
        if (
            head is not None
            and engaged is not None
            and self._serving is None
            and self._floors.allow(engaged.subnet, head.arrival_s)
        ):
            self._take(head, engaged)
        # The request that waits for cores may become too late, or be pushed out of the queue: look again by then.
        if not self._running:
            seen_s = self._intake.next_s + self._late_s()
            self._look_at(min(seen_s, self._queue.expires_s))

    def _turn(self) -> None:
        """Go on to the next request, which takes as long as waking up for one does."""
        now_s = self._agenda.now_s
        if now_s >= self._quiet_until_s:
            self._admit()
        busy = self._saturate or self._queue.head is not None
        self._look_at((now_s if busy else self._intake.next_s) + self._late_s())

    def _late_s(self) -> float:
        """Return how long the worker takes to begin with the next request: half to one and a half of `wake_ms`."""
        return self._wake_s * (0.5 + self._wakes.share(self._intake.arrived)) if self._wake_s else 0.0

    def _look_at(self, at_s: float) -> None:
        if at_s < self._looks_s:
            self._looks_s = at_s
            self._agenda.at(at_s, self._woken)

    def _renewed(self) -> Request | None:
        """Return the next request of a closed loop, which arrives when nothing is left to do; None outside its time."""
        now_s = self._agenda.now_s
        if self._closed or not self._from_s <= now_s < self._until_s:
            return None
        request, _ = self._intake.arrive(now_s)
        self._quiet_until_s = -math.inf
        self._record(request, Status.ARRIVED, math.nan)
        return request

    def _admit(self) -> None:
        now_s = self._agenda.now_s
        if now_s < self._quiet_until_s or self._over:
            return
        if drops := self._intake.admit(now_s):
            self._drop(drops)
        self._re_quiet()

    def _drop(self, drops: list[Drop]) -> None:
        for drop in drops:
            self._record(drop.request, Status.DROPPED, drop.at_s)
            self._finished += 1

    def _re_quiet(self) -> None:
        next_s, expires_s = self._intake.next_s, self._queue.expires_s
        self._quiet_until_s = next_s if next_s < expires_s else expires_s

    def _take(self, request: Request, engaged: SimulatedGear) -> None:
        index = request.index
        work = engaged.work(self._profile.size(index))
        claim = CoreClaim(
            self,
            engaged.cores,
            engaged.mask,
            request.deadline_s,
            self._slot,
            self._luck.of(work.samples_ms, index),
            engaged.active,
            request.arrival_s,
            work,
        )
        self._serving = Serving(request, engaged, work, claim)
        engaged.unit.take(claim)

    def _give_up(self, serving: Serving) -> None:
        self._serving = None
        serving.engaged.unit.withdraw(serving.claim)

    def accepts(self) -> bool:
        """Take the request out of the queue, unless it was dropped meanwhile or is dropped now; see `Claimant`."""
        now_s = self._agenda.now_s
        if now_s >= self._quiet_until_s:
            self._admit()
        serving, queue = self._serving, self._queue
        assert serving is not None
        if serving.work.least_s > 0 and queue.head is serving.request:
            self._drop(queue.give_up_hopeless(now_s, serving.work.least_s))
        if queue.head is not serving.request:
            self._serving = None
            self._re_quiet()
            self._look_at(now_s)
            return False
        self._running = True
        queue.pop()
        behind = queue.head
        if behind is not None:
            serving.claim.next_deadline_s = behind.deadline_s
        self._re_quiet()
        return True

    def ended(self) -> None:
        """Record the result, and go on to the next request; see `Claimant`."""
        served = self._serving
        assert served is not None
        self._serving, self._running = None, False
        request, engaged, claim, now_s = served.request, served.engaged, served.claim, self._agenda.now_s
        latency_ms = (now_s - request.arrival_s) * 1000
        self._records.append(
            record(
                request,
                Status.COMPLETED,
                now_s,
                start_s=claim.start_s,
                subnet=engaged.subnet,
                unit=engaged.unit_number,
                cores=engaged.gear.cores,
            )
        )
        self._finished += 1
        self._on_time += latency_ms <= request.target_ms
        self._latencies_ms.append(latency_ms)
        self._ratios.append(claim.known_ms() / served.work.expected_ms)
        self._turn()

    def _stop(self, _: object) -> None:
        self._over = True
        if self._serving and self._running:
            self._serving.engaged.unit.stop(self._serving.claim)
        elif self._serving:
            self._give_up(self._serving)

    def _record(self, request: Request, status: Status, end_s: float) -> None:
        self._records.append(record(request, status, end_s))
