"""The way of one request: its input, and once it has its cores inference, service time, score, record, delivery.

The user's code (source, labels, `on_result`) runs in `fetch` and `deliver`, and no cores are held then: code that
hangs or dies keeps no other application waiting. This module knows no queue and no way to get cores. It never raises
what a request, an engine or a user's code raised.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from actors.clock import Clock
from actors.executor.client import ExecutorHungError
from actors.executor.underway import Hang
from actors.ledger.lease import Lease
from actors.ledger.ledger import BoardLedger
from actors.requests.draws import Draws
from actors.requests.least_time import least_service_s
from actors.requests.queue import Request
from actors.sizes import size_of, work_of
from actors.worker.gearbox import Gearbox, Ready
from actors.worker.results import InputRefusedError, Receipt, RequestFailedError, Result, refuse
from actors.worker.spec import WorkerSpec
from actors.worker.tally import Service, Tally
from scheduler.board import BoardUnit
from scheduler.messages import Activate
from scheduler.profile import ServiceTime
from scheduler.request_clock import Timing
from scheduler.views import Gear
from supernets.engines import StoppedError
from supernets.outputs import Output
from supernets.task import Sample, Source

OnResult = Callable[[Request, Any], object]
"""A user's function that gets each completed request and its result, as `Task.payload` makes it of the output."""

CAPPED = "cut at its cap: a part of it is missing"
"""The trouble of an output that its task calls capped; its request completes."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Engaged:
    """A gear in force, with everything that a request needs looked up.

    Attributes:
        gear: the gear.
        plan: number of the plan that it serves.
        cpus: the kernel's numbers of its cores; empty on a GPU.
        ready: its network.
        subnet: place of its sub-network in the ladder, from 0.
        unit: place of its unit on the board, from 0.
        board_unit: the unit.
        time: undisturbed inference times of the profile.
    """

    gear: Gear
    plan: int
    cpus: tuple[int, ...]
    ready: Ready
    subnet: int
    unit: int
    board_unit: BoardUnit
    time: ServiceTime

    def most_ms(self, size: float, noise: float) -> float:
        """Return the slowest inference of the profile, by which the ledger bounds how long cores may be held.

        For a request that is larger than all that were profiled it is the slowest of its size. A small one has the
        bound of all, since its work may turn out to be more than its size foretold. Noise may make it longer.

        There is none on a GPU, whose executor has a bound of its own (`actors.executor.underway`): it counts from when
        the executor begins with the request, and the executor has to be ended besides.
        """
        if self.board_unit.kind != "cpu":
            return math.inf
        return max(self.time.samples_ms[-1], self.time.samples_at_ms(size)[-1]) * max(1.0, noise)

    def least_s(self, fetched: Fetched) -> float:
        """Return the least time in which a request can be served; 0 where that is unknown, or it has no input."""
        return 0.0 if fetched.x is None else least_service_s(self.time, self.board_unit, fetched.size)

    def timing(self, request: Request, size: float, *, behind: Request | None) -> Timing:
        """Return what the clock of a request of a size depends on, with the request behind it."""
        return Timing(
            samples_ms=self.time.samples_at_ms(size),
            arrival_s=request.arrival_s,
            deadline_s=request.deadline_s,
            next_deadline_s=math.inf if behind is None else behind.deadline_s,
            memory_share=self.time.memory_share,
        )


def engage(message: Activate, spec: WorkerSpec, gearbox: Gearbox) -> Engaged:
    """Return a gear looked up, with its network, which the gearbox keeps from now on.

    Args:
        message: the gear, its cores and its plan.
        spec: the application.
        gearbox: its networks.

    Raises:
        GearboxError: if its network is not ready.
        ValueError: if it does not fit the board or the profile.
    """
    gear = message.gear
    try:
        unit = spec.board.unit(gear.unit)
        time = spec.profile.service(gear.subnet, unit.kind, gear.cores)
    except KeyError as missing:
        raise ValueError(f"app {spec.app!r}: {gear} is not on the board or not in the profile: {missing}") from None
    if unit.kind == "cpu" and not (len(message.cpus) == gear.cores and set(message.cpus) <= set(unit.cpus)):
        raise ValueError(f"app {spec.app!r}: cpus {message.cpus!r} are not those of {gear} on {unit.cpus!r}")
    return Engaged(
        gear=gear,
        plan=message.plan,
        cpus=message.cpus,
        ready=gearbox.engage(gear),
        subnet=list(spec.artifacts).index(gear.subnet),
        unit=spec.board.units.index(unit),
        board_unit=unit,
        time=time,
    )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Fetched:
    """A request with its input.

    Attributes:
        request: the request.
        input_shape: shape of the input that its network takes.
        x: the input; None if there is none.
        error: what the source raised, as text; None if it did not.
        size: the request's size, in units of the profile's.
    """

    request: Request
    input_shape: tuple[int, ...]
    x: Sample | None
    error: str | None
    size: float = 1.0

    def fits(self, request: Request, ready: Ready) -> bool:
        """Return True if it is the input of that request for that network."""
        return self.request is request and self.input_shape == ready.artifact.input_shape


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Served:
    """A request that ran.

    Attributes:
        service: when and where it ran.
        lease: the lease by which it held its cores.
        progress_ms: what clocks and load explain of its time (`Progress.known_ms`); None where clocks can't be set.
        size: the request's size.
        output: output of the network; None if it failed or was given up.
        error: what its inference raised, as text; None if it succeeded.
        hang: what was seen of its executor, which was killed since this request hung there; None otherwise.
    """

    service: Service
    lease: Lease
    progress_ms: float | None
    size: float
    output: Output | None
    error: str | None
    hang: Hang | None = None


class RequestServer:
    """Serves requests of one application.

    Args:
        spec: the application.
        source: inputs and labels of its requests.
        clock: board time.
        ledger: ledger of the board.
        tally: counts and records the ends of requests.
        on_result: called with (request, result) after each completed request; None for nothing.

    Attributes:
        draws: the luck of each request on an emulated unit.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        *,
        source: Source,
        clock: Clock,
        ledger: BoardLedger,
        tally: Tally,
        on_result: OnResult | None,
    ) -> None:
        self._spec = spec
        self._source = source
        self._clock = clock
        self._ledger = ledger
        self._tally = tally
        self._on_result = on_result
        self.draws = Draws(spec.seed, spec.app, spec.noise)

    def fetch(self, request: Request, ready: Ready) -> Fetched:
        """Return a request with its input for a network, of the user's source or a client's payload."""
        x, error, size = None, None, 1.0
        try:
            if request.is_clients:
                given = self._source.adapt(request.payload, ready.artifact)
            else:
                given = ready.inputs(request.index)
            size, x = size_of(self._source.task, given), given
        except Exception as raised:  # an input may raise anything, and it costs this request only
            error = self._tally.error("input" if request.is_clients else "source", raised, request)
        return Fetched(request=request, input_shape=ready.artifact.input_shape, x=x, error=error, size=size)

    def fail(self, fetched: Fetched, at_s: float) -> None:
        """Record a request that has no input as failed, and tell its client."""
        self._tally.failed(fetched.request, at_s)
        kind = InputRefusedError if fetched.request.is_clients else RequestFailedError
        refuse(fetched.request, kind(str(fetched.error)))

    def serve(
        self,
        fetched: Fetched,
        engaged: Engaged,
        lease: Lease,
        give_up: Callable[[], bool],
    ) -> Served:
        """Run the network, and keep the cores until the service time is over.

        On an emulated unit the service time is the request's draw from the profile's undisturbed times of its size,
        stretched by the clocks in force meanwhile; a real inference that took longer ends when it ends. On any other
        unit the service time is the time of the inference.

        For example, a draw of 20 ms at half the top clock keeps the cores for 40 ms.

        A network that makes its output step by step is given up between two steps, any other runs to its end.

        Args:
            fetched: the request with its input.
            engaged: the gear in which it runs.
            lease: its cores.
            give_up: asked before each step of the network, and now and then while the cores are only kept; True ends
                the service early.
        """
        assert fetched.x is not None
        request, output, error, hang = fetched.request, None, None, None
        try:
            output = engaged.ready.run(fetched.x, give_up)
        except StoppedError as raised:  # nobody's fault, so none is counted
            error = str(raised)
        except ExecutorHungError as raised:
            error, hang = self._tally.error("network", raised, request), raised.hang
        except Exception as raised:  # an engine may raise anything, and it costs this request only
            error = self._tally.error("network", raised, request)
        if output is None or not engaged.board_unit.emulated:
            end_s = self._clock.now_s()
        else:
            draw_ms = self.draws.of(engaged.time.samples_at_ms(fetched.size), request.index)
            end_s = self._ledger.stretch(lease, draw_ms, give_up)
        service = Service(
            start_s=lease.start_s,
            end_s=end_s,
            subnet=engaged.subnet,
            unit=engaged.unit,
            cores=engaged.gear.cores,
        )
        progress_ms = self._progress_ms(engaged, lease, end_s)
        return Served(
            service=service,
            lease=lease,
            progress_ms=progress_ms,
            size=fetched.size,
            output=output,
            error=error,
            hang=hang,
        )

    def _progress_ms(self, engaged: Engaged, lease: Lease, end_s: float) -> float | None:
        """Return what clocks and load explain of a request's time up to just now; None where clocks can't be set."""
        if not engaged.board_unit.settable:
            return None
        # Read at once. The clock may change when the cores are given back, and what it was before is then unknown.
        now = self._ledger.progress(lease)
        return now.known_ms - (now.now_s - end_s) * 1e3 * now.known_pace - lease.start_known_ms

    def deliver(self, request: Request, engaged: Engaged, served: Served) -> None:
        """Score and record a request that ran, and hand its result to its client and to `on_result`.

        Raises:
            FencedError: if it hung in its executor: the worker is to end, as one that holds its cores for too long.
        """
        payload, error = self._payload(request, served)
        if error is not None:
            self._tally.failed(request, served.service.end_s, served.service)
            refuse(request, RequestFailedError(error))
            if served.hang is not None:
                self._ledger.give_up_process(served.lease, served.hang.held_s, served.hang.bound_s)
            return
        assert served.output is not None
        latency_ms = self._tally.completed(
            request,
            served.service,
            credit=self._score(request, served.output),
            service_ratio=self._service_ratio(served, engaged, self._work(request, served, engaged)),
        )
        if request.future is not None and request.future.set_running_or_notify_cancel():
            request.future.set_result(
                Result(
                    output=payload,
                    subnet=engaged.gear.subnet,
                    latency_ms=latency_ms,
                    receipt=self._receipt(engaged, served),
                )
            )
        try:
            if self._on_result is not None:
                self._on_result(request, payload)
        except Exception as raised:  # a user's code; the result stands
            self._tally.error("on_result", raised, request)

    def _receipt(self, engaged: Engaged, served: Served) -> Receipt:
        """Return where a request ran, for how long, and what it cost."""
        rung = self._spec.profile.rungs[engaged.subnet]
        return Receipt(
            unit=engaged.gear.unit,
            cores=engaged.gear.cores,
            service_ms=served.service.service_ms,
            energy_mj=self._ledger.spent_mj(served.lease, engaged.time.activity, served.service.end_s),
            accuracy=rung.accuracy,
        )

    def _payload(self, request: Request, served: Served) -> tuple[object, str | None]:
        """Return what a client gets of a request that ran, or why it failed; an output that was cut is counted."""
        if served.output is None:
            return None, str(served.error)
        task = self._source.task
        try:
            if task.capped(served.output):
                self._tally.trouble("output", CAPPED, request)
            return task.payload(served.output), None
        except Exception as raised:  # an output that the task can't read costs this request only
            return None, self._tally.error("network", raised, request)

    def _score(self, request: Request, output: Output) -> float | None:
        """Return the credit of an output; None where there is no label."""
        if request.is_clients:
            return None
        try:
            credit = self._source.score(request.index, output)
            if credit is not None and not 0 <= credit <= 1:
                raise ValueError(f"a score must be None, a bool, or a credit from 0 to 1, not {credit!r}")
        except Exception as error:  # a user's labels; the result stands
            self._tally.error("score", error, request)
            return None
        return None if credit is None else float(credit)

    def _work(self, request: Request, served: Served, engaged: Engaged) -> float:
        """Return the work by which a request's time is to be judged: what it did; on an emulated unit its size."""
        assert served.output is not None
        # An emulated time follows the size, whatever the network made of it.
        if engaged.board_unit.emulated or engaged.time.base_ms is None:
            return served.size
        try:
            return work_of(self._source.task, served.output)
        except Exception as error:  # a task of a user's own; the result stands
            self._tally.error("work", error, request)
            return served.size

    def _service_ratio(self, served: Served, engaged: Engaged, work: float) -> float:
        """Return the observed service time, converted to the profiled core, over what the profile expects for the work.

        The part that the clocks and the other load in force explain is taken out, so that only a slowdown that the
        board does not know of is left. For example, 48 ms at half the profiled pace are 24 ms of progress; over 20 ms
        expected that is 1.2.
        """
        expected_ms = engaged.time.expected_ms(work)
        if served.progress_ms is None:  # there is one clock, and a real load shows in what was observed
            unit = engaged.board_unit
            return served.service.service_ms * unit.pace(unit.mhz[-1], engaged.time.memory_share) / expected_ms
        return served.progress_ms / expected_ms
