"""The worker: serves one application's requests on its own thread, in the gear that it was last told.

- It takes requests from the application's schedule, from clients or from a closed loop, fetches their inputs, runs the
  real network while it holds the tokens of its gear's cores, and answers control calls while it computes.
- `step` does the next thing and returns when the one after is due. A test steps a worker through virtual time; `start`
  steps it on a thread in real time.
- It knows neither Ray nor torch, does not choose its gear, and does not pin itself: the board agent moves its threads
  from outside.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from pathlib import Path

from actors.clock import BoardClock, Clock
from actors.ledger.ledger import BoardLedger
from actors.requests.floors import Floors
from actors.requests.queue import Drop, Request
from actors.worker.gearbox import Gearbox
from actors.worker.loading import NetworkLoader
from actors.worker.results import Result, WorkerClosedError, refuse, refuse_dropped
from actors.worker.serving import Engaged, Fetched, OnResult, RequestServer, engage
from actors.worker.spec import WorkerSpec
from actors.worker.status import WorkerStatus
from actors.worker.takeover import take_over
from actors.worker.thread import InferenceThread, Pulse
from actors.worker.totals import WorkerTotals
from scheduler.messages import Activate, Activated, Prepare, Prepared
from scheduler.request_clock import Timing
from supernets.task import Source


class Worker:
    """Serves one application. Control calls are safe from any thread and return promptly while a request is served.

    Args:
        spec: the application and what its worker needs.
        source: inputs of the application's requests.
        clock: board time.
        on_result: called with (request, output) after each completed request, on the inference thread.
        resume_from_s: board time at which a worker replaces one that was killed. Requests that had arrived by then and
            have no record of their end are recorded as failed; the worker goes on with later arrivals. None for the
            first worker.

    Attributes:
        spec: as given.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        *,
        source: Source,
        clock: Clock,
        on_result: OnResult | None = None,
        resume_from_s: float | None = None,
    ) -> None:
        self.spec = spec
        self._clock = clock
        self._ledger = BoardLedger.attach(Path(spec.ledger_path), spec.board, clock=clock)
        self._loader = NetworkLoader(spec)
        self._gearbox = Gearbox(
            spec.artifacts,
            source,
            prepare=self._loader.load,
            form_of=self._loader.form_of,
            bound_mb=spec.memory_mb,
            # The manager raises this unit's clock meanwhile. Those of an emulated board are no CPUs of this machine.
            aside=() if spec.board.emulated else spec.board.housekeeper.all_cpus,
        )
        self._floors = Floors(spec.floors, spec.profile)
        self._intake, self._tally = take_over(spec, resume_from_s)
        self._server = RequestServer(
            spec, source=source, clock=clock, ledger=self._ledger, tally=self._tally, on_result=on_result
        )
        # Guards the intake, the gear and the end. Nothing that lasts and no user's code runs while it is held.
        self._lock = threading.Lock()
        self._engaged: Engaged | None = None
        self._switch_ms: list[float] = []
        self._closed_s: float | None = None
        self._end_s = math.inf
        self._over = self._stopped = False
        self._fetched: Fetched | None = None
        self._pulse = Pulse()
        self._thread = InferenceThread(f"serve {spec.app}", self.step, self._finish)

    # ------------------------------------------------------------ control

    def prepare(self, message: Prepare) -> Prepared:
        """Make a gear's network ready off the request path, and wait for it.

        Returns:
            The gear that is ready and its plan. They are those of the latest `Prepare`, which may be a later one.

        Raises:
            GearboxError: if it can't be prepared.
        """
        gear, plan = self._gearbox.prepare(message.gear, message.plan)
        return Prepared(app=self.spec.app, gear=gear, plan=plan)

    def activate(self, message: Activate) -> Activated:
        """Change gear: the next request that gets its cores gets those of this gear, and runs in it.

        A request that holds its cores already ends in the gear in which it began; the call does not wait for it.
        A message of an older plan than the gear in force changes nothing.

        Returns:
            The gear in force and its plan.

        Raises:
            GearboxError: if its network is not ready.
            ValueError: if it does not fit the board, the ladder or the profile.
        """
        called_s = self._clock.now_s()
        with self._lock:
            old = self._engaged
            if old is None or message.plan >= old.plan:
                # The inference thread reads this reference once a request, so the gear changes between two requests.
                self._engaged = engage(message, self.spec, self._gearbox)
                if old is not None and old.gear != message.gear:
                    self._switch_ms.append((self._clock.now_s() - called_s) * 1000)
            engaged = self._engaged
        self._rouse()
        assert engaged is not None
        return Activated(app=self.spec.app, gear=engaged.gear, plan=engaged.plan)

    def submit(self, payload: object) -> Future[Result]:
        """Take a client's request.

        Args:
            payload: input of the request, in a form that `Source.adapt` takes.

        Returns:
            A future of the `Result`, or of a `RequestDroppedError`, `RequestFailedError` or `WorkerClosedError`.

        Raises:
            WorkerClosedError: if the application has ended.
        """
        future: Future[Result] = Future()
        with self._lock:
            now_s = self._clock.now_s()
            if self._closed_s is not None or now_s >= self.spec.until_s:
                raise WorkerClosedError(f"app {self.spec.app!r} takes no more requests")
            drops = self._intake.admit(now_s)
            request, more = self._intake.arrive(now_s, payload, future)
        self._tally.arrived(request)
        self._settle(drops + more)
        self._thread.wake()
        return future

    def retarget(self, segments: Sequence[tuple[float, float]], floors: Sequence[tuple[float, float]]) -> None:
        """Take other latency targets and accuracy floors, past and present ones, as `WorkerSpec` has them."""
        with self._lock:
            self._intake.retarget(segments)
            self._floors = Floors(floors, self.spec.profile)
        self._rouse()

    def totals(self) -> WorkerTotals:
        """Return the counts since the start.

        Raises:
            WorkerClosedError: if the inference thread died of a fault that was no request's.
        """
        if self._thread.fault is not None:
            raise WorkerClosedError(f"the worker of app {self.spec.app!r} stopped: {self._thread.fault}")
        _, engaged = self._look()
        with self._lock:
            arrived, queue_len = self._intake.arrived, len(self._intake.queue)
        return replace(
            self._tally.totals(),
            arrived=arrived,
            queue_len=queue_len,
            gear=engaged.gear if engaged else None,
            plan=engaged.plan if engaged else -1,
            phase=self._pulse.phase,
            beats=self._pulse.beats,
        )

    def status(self) -> WorkerStatus:
        """Return the worker's state."""
        counts = self._tally.totals()
        with self._lock:
            engaged = self._engaged
            return WorkerStatus(
                app=self.spec.app,
                pid=os.getpid(),
                thread=self._thread.native_id,
                serving=not self._over,
                gear=engaged.gear if engaged else None,
                plan=engaged.plan if engaged else -1,
                prepared=self._gearbox.ready,
                queue_len=len(self._intake.queue),
                closed_s=self._closed_s,
                switch_ms=tuple(self._switch_ms),
                worker=counts.started_ns,
                faults=counts.faults,
            )

    def drain(self, until_s: float) -> float:
        """Let no more requests in, and serve those that wait.

        It returns promptly; `join` waits. A second call can only bring the end forward.

        Args:
            until_s: board time of the end. Requests that are left then get no end.

        Returns:
            The board time at which the worker closed: requests scheduled until then were let in.
        """
        with self._lock:
            drops: list[Drop] = []
            if self._closed_s is None:
                self._closed_s = self._clock.now_s()
                drops = self._intake.admit(self._closed_s)
                self._intake.close()
            closed_s = self._closed_s
            self._end_s = min(self._end_s, until_s)
        self._settle(drops)
        self._rouse()
        return closed_s

    # ------------------------------------------------------------ serving

    def start(self) -> None:
        """Serve on a thread of its own from now on; settings of the whole process are changed for it.

        Raises:
            TypeError: if the clock is no `BoardClock`; in virtual time a worker is stepped.
        """
        if not isinstance(self._clock, BoardClock):
            raise TypeError(f"a worker runs on a BoardClock; step it on a {type(self._clock).__name__}")
        self._thread.start(self._clock)

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait until a drained worker has ended, at most so many seconds on the wall; return True if it has."""
        self._thread.join(timeout_s)
        return self._over

    def stop(self) -> None:
        """End before the next step of what runs now, or when it returns, and free all; requests left get no end."""
        if self._stopped:
            return
        self._stopped = True
        self.drain(-math.inf)
        self.join()
        self._finish()
        self._gearbox.close()
        self._loader.close()
        self._tally.close()
        self._ledger.close()

    def step(self) -> float | None:
        """Do the next thing: serve a request, or find out when there is one.

        Returns:
            The board time at which there is something to do again, unless a control call or a client comes sooner;
            None when a drained worker has ended.
        """
        self._pulse.beat("idle")
        request, engaged = self._look()
        if request is None and self._renews():
            request, engaged = self._look()
        if self._ends(request):
            self._finish()
            return None
        if request is None or engaged is None or not self._floors.allow(engaged.subnet, request.arrival_s):
            return self._next_s()
        self._serve(request, engaged)
        return self._clock.now_s()

    def _look(self) -> tuple[Request | None, Engaged | None]:
        """Let in the requests that have arrived; return the one at the head of the queue, and the gear in force."""
        with self._lock:
            drops = self._admit()
            view = self._intake.queue.head, self._engaged
        self._settle(drops)
        return view

    def _admit(self) -> list[Drop]:
        now_s = self._clock.now_s()
        return self._intake.admit(now_s) if now_s < self._end_s else []

    def _renews(self) -> bool:
        """Let the next request of a closed loop arrive; return False if there is none."""
        if not self.spec.saturate:
            return False
        with self._lock:
            now_s = self._clock.now_s()
            if self._closed_s is not None or not self.spec.segments[0][0] <= now_s < self.spec.until_s:
                return False
            request, _ = self._intake.arrive(now_s)
        self._tally.arrived(request)
        return True

    def _next_s(self) -> float:
        """Return the board time at which there is something to do, if nothing unforeseen comes before."""
        from_s = self.spec.segments[0][0]
        begins_s = from_s if self.spec.saturate and self._clock.now_s() < from_s else math.inf
        return min(self._intake.next_s, self._end_s, begins_s)

    def _ends(self, request: Request | None) -> bool:
        """Return True if a drained worker has served all that waited, or its time is over."""
        return self._closed_s is not None and (request is None or self._clock.now_s() >= self._end_s)

    def _serve(self, request: Request, engaged: Engaged) -> None:
        """Serve a request once its cores are free, unless something changes while it waits for them."""
        fetched = self._input(request, engaged)
        if fetched.x is None:
            return
        # The wait for cores can last. It is given up when the request was dropped, the gear changed or the worker ends;
        # the next step then begins with what is true by then.
        lease = self._ledger.take(
            self.spec.slot,
            engaged.gear.unit,
            engaged.cpus,
            request.deadline_s,
            give_up=lambda: self._has_changed(request, engaged),
            activity=engaged.time.activity,
            most_ms=engaged.most_ms(fetched.size, self._server.draws.factor(request.index)),
            memory_share=engaged.time.memory_share,
        )
        if lease is None:
            return
        try:
            if (timing := self._claim(fetched, engaged)) is None:
                return
            self._pulse.beat("run")
            if self._ledger.is_paced(lease.unit):
                self._ledger.ask(lease, timing())
            served = self._server.serve(fetched, engaged, lease, lambda: self._clock.now_s() >= self._end_s)
        finally:
            self._ledger.release(lease)
        self._fetched = None
        self._pulse.beat("result")
        if served.service.end_s < self._end_s:
            self._server.deliver(request, engaged, served)
        else:
            refuse(request, self._closed_error())

    def _input(self, request: Request, engaged: Engaged) -> Fetched:
        """Return a request with its input, which is fetched before it asks for cores; if there is none, it failed."""
        fetched = self._fetched
        if fetched is None or not fetched.fits(request, engaged.ready):
            self._pulse.beat("input")
            self._fetched = fetched = self._server.fetch(request, engaged.ready)
        if fetched.x is None and self._claim(fetched, engaged) is not None:
            self._server.fail(fetched, self._clock.now_s())
        return fetched

    def _has_changed(self, request: Request, engaged: Engaged) -> bool:
        """Return True if a request that waits for cores is not to be served so any more."""
        self._pulse.beat("cores")
        return self._look() != (request, engaged) or self._ends(request)

    def _claim(self, fetched: Fetched, engaged: Engaged) -> partial[Timing] | None:
        """Take the request out of the queue; return None if it was dropped, or the gear changed, meanwhile or now."""
        request, timing = fetched.request, None
        with self._lock:
            drops, queue = self._admit(), self._intake.queue
            if queue.head is request and self._engaged is engaged and not self._ends(request):
                drops += queue.give_up_hopeless(self._clock.now_s(), engaged.least_s(fetched))
                if queue.head is request:
                    queue.pop()
                    timing = partial(engaged.timing, request, fetched.size, behind=queue.head)
        self._settle(drops)
        return timing

    def _settle(self, drops: list[Drop]) -> None:
        """Record dropped requests and tell their clients, whose callbacks run here: the lock must not be held."""
        for drop in drops:
            self._tally.dropped(drop.request, drop.at_s)
            refuse_dropped(self.spec.app, drop)

    def _rouse(self) -> None:
        """Make the inference thread look again, whether it waits for a request or for cores."""
        if not self._over:
            self._thread.wake()
            self._ledger.wake(self.spec.slot)

    def _closed_error(self) -> WorkerClosedError:
        return WorkerClosedError(f"app {self.spec.app!r} ended before this request did")

    def _finish(self) -> None:
        """End, and tell the clients of the requests that are left."""
        with self._lock:
            self._over = True
            self._closed_s = self._clock.now_s() if self._closed_s is None else self._closed_s
            self._end_s = -math.inf
            waiting = list(self._intake.queue)
        for request in waiting:
            refuse(request, self._closed_error())
