"""One unit of a simulated board: its clock, its cores' tokens, who waits for them, and where its time went.

The rules are those of an emulated board in a real run: a request holds the tokens of its cores from its start until the
unit's pace has covered its service time. The ledger and the devices of a real run share four modules with this one:

- `actors.requests.turns`: who gets free cores.
- `scheduler.governors`: what each governor decides, when a new one comes, and when it samples.
- `scheduler.request_clock`: the clock of a single request (`workloads.simulator.request_clocks`).
- `scheduler.board`: the pace at a clock (`workloads.simulator.progress`), and the clocks that a limit leaves.

Two things are simulated alone: a clock takes its transition latency to come into force, and a core that has been idle
for long takes its exit latency to begin.

It knows no networks, no targets and no manager.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Mapping

from actors.requests.turns import next_turn, urgency
from scheduler.board import BoardUnit
from scheduler.governors import Governor, at_least
from scheduler.request_clock import NO_PACES, Pace
from workloads.simulator.agenda import Agenda
from workloads.simulator.aside import AsideWork
from workloads.simulator.claim import CoreClaim
from workloads.simulator.coming_clock import ComingClock
from workloads.simulator.core import SimulatedCore, UnitCores
from workloads.simulator.governing import WorkingGovernor
from workloads.simulator.progress import UnitProgress
from workloads.simulator.request_clocks import UnitRequestClocks
from workloads.simulator.residency import UnitMeters

_AT_ONCE_S = 1e-9
"""Times that lie closer together are one moment: 453 / 15 s and 25 s + 52 / 10 s are not the same number."""


class SimulatedUnit:
    """One unit of a simulated board.

    Args:
        spec: the unit as `cluster.yaml` describes it.
        agenda: the simulation's agenda.
        on_request_clock: called after each change of clock for a request.

    Attributes:
        spec: as given.
        mhz: the clock in force.
        allowed: the clocks that it may take now, rising.
        coming: the change of clock that was asked for last.
        clock_changes: how often the clock changed so far.
        meters: where its time and energy went so far; `settle` brings them up to now.
        cpus_online: the CPUs in use, some of `BoardUnit.all_cpus`.
        aside: the managing that is done beside its requests.
    """

    def __init__(self, spec: BoardUnit, agenda: Agenda, on_request_clock: Callable[[], None] = lambda: None) -> None:
        self.spec = spec
        self.allowed = spec.mhz
        self.clock_changes = 0
        self.meters = UnitMeters(spec)
        self.cpus_online = spec.all_cpus
        self._agenda = agenda
        self._on_request_clock = on_request_clock
        self._cores = UnitCores(spec, agenda.now_s)
        self._waiting: list[CoreClaim] = []
        """The most urgent first."""
        self._running: list[CoreClaim] = []
        self._held = 0
        """A bit for each core that a claim has."""
        self._active = 0.0
        """The activity of all cores that a claim has, added up."""
        self._is_on = True
        self._other_load = 0.0
        self._max_mhz: float | None = None
        self._thermal_mhz: float | None = None
        self._since_s = agenda.now_s
        """The moment that progress and meters stand at; `settle` moves it."""
        self._asked_mhz = spec.mhz[0]
        self.coming = ComingClock(agenda, spec.transition_us, self._change)
        self._governor: WorkingGovernor | None = None
        self._request_clocks = UnitRequestClocks(spec)
        self._clamps_mhz: Mapping[int, float] = {}
        self._progress = UnitProgress(spec)
        self._place = 0
        """Place of the clock in force among the unit's clocks."""
        self.mhz = spec.mhz[0]
        self.aside = AsideWork(agenda, self.settle, top_mhz=spec.mhz[-1], mhz=spec.mhz[0])

    # ------------------------------------------------------------ tokens

    def take(self, claim: CoreClaim) -> None:
        """Give a claim its cores, now or when it is its turn."""
        now_s = self._agenda.now_s
        if self._agenda.next_s - now_s <= _AT_ONCE_S:
            # Something else is due at this very moment and comes first: it may be a request with an earlier deadline.
            insort(self._waiting, claim, key=urgency)
            self._agenda.at(now_s + _AT_ONCE_S, self._serve)
        elif not self._waiting and not self._held & claim.mask:
            # The common case: nobody waits and the cores are free, so there is no queue to look through.
            self._begin(claim)
        elif not self._waiting:
            self._waiting.append(claim)
        else:
            insort(self._waiting, claim, key=urgency)
            self._serve()

    def withdraw(self, claim: CoreClaim) -> None:
        """Take a claim that still waits out of the queue."""
        self._waiting.remove(claim)
        self._serve()

    def stop(self, claim: CoreClaim) -> None:
        """End a service before its time. The claimant is not told."""
        self._release(claim)
        self._serve()

    def claims(self) -> list[CoreClaim | None]:
        """Return the claim that has each core; None for a core that no request has."""
        return [core.claim for core in self._cores.all]

    def _serve(self, _: object = None) -> None:
        """Give free cores to the claims that wait for them, one after another: each may let its cores go again."""
        while self._waiting and (claim := next_turn(self._waiting, self._held)) is not None:
            self._waiting.remove(claim)
            self._begin(claim)

    def _begin(self, claim: CoreClaim) -> None:
        if not claim.claimant.accepts():
            return
        self.settle()
        now_s = self._agenda.now_s
        exit_us = self._cores.give(claim, now_s)
        self._held |= claim.mask
        self._running.append(claim)
        self._active += claim.active
        claim.begin(now_s, self._progress.begin(claim.work.memory_share), exit_us)
        self._schedule(claim)
        if self._governor is not None:
            self._governor.begun(claim, self._clamps_mhz)
        elif self._request_clocks.paces:
            claim.mhz = self._request_clocks.wanted_mhz(claim, self.mhz, self._other_load)
            self._follow_requests()

    def _schedule(self, claim: CoreClaim) -> None:
        """Have a running claim end when its service will be covered, if nothing changes until then."""
        progress = claim.progress
        left_ms = claim.goal_ms - progress.done_ms
        claim.end_s = end_s = self._agenda.now_s + (left_ms if left_ms > 0 else 0.0) / progress.pace
        self._agenda.at(end_s, self._end, claim)

    def _end(self, claim: CoreClaim) -> None:
        # Calls on the agenda are never taken back. One that a change of pace or a stop has overtaken is known by its
        # time, which is no longer the claim's end, and does nothing.
        if claim.end_s != self._agenda.now_s:
            return
        self._release(claim)
        if self._waiting:
            self._serve()
        claim.claimant.ended()

    def _release(self, claim: CoreClaim) -> None:
        self.settle()
        claim.end_s = -1.0
        self._cores.free(claim, self._agenda.now_s)
        self._held &= ~claim.mask
        self._running.remove(claim)
        self._progress.end(claim.progress)
        # Added up anew, since a sum less one of its terms is not the sum of the others.
        self._active = 0.0
        for running in self._running:
            self._active += running.active
        if self._governor is not None:
            self._governor.ended(claim)
        elif self._request_clocks.paces:
            self._follow_requests()

    # ------------------------------------------------------------ managing

    def spend(self, cpu_ms: float, *, urgent: bool) -> float:
        """Take CPU time for something short that is no request, on an idle core, or else on the last one online.

        Args:
            cpu_ms: the time it takes at the unit's top clock.
            urgent: true if a request that has the core waits for it; else it runs beside the request.

        Returns:
            How long it takes at the present clock, in seconds.
        """
        if cpu_ms <= 0:
            return 0.0
        self.settle()
        took_s = 1e-3 * cpu_ms * self.spec.mhz[-1] / self.mhz
        core = self._book(took_s, managing=True)
        if urgent and core.claim is not None:
            on_top_ms = took_s * core.claim.progress.pace
            core.claim.work_ms += on_top_ms
            core.claim.goal_ms += on_top_ms
            self._schedule(core.claim)
        return took_s

    def _book(self, took_s: float, *, managing: bool) -> SimulatedCore:
        """Count a core as busy for a time with something that is no request: an idle one, or else the last online."""
        (core,) = self._cores.idlest(1)
        core.busy_s += took_s
        idle = not (self._held or self._other_load or self.aside.jobs)
        self.meters.book(took_s, self._place, idle=idle, managing=managing)
        return core

    def switch(self, on: bool) -> float:
        """Begin to take all CPUs offline, or to put them online again, while no request is here.

        One core is busy with it. The unit counts as off from when it is off until it begins to come back.

        Returns:
            How long it takes, in seconds.
        """
        self.settle()
        took_s = 1e-3 * (self.spec.on_ms if on else self.spec.off_ms)
        if on:
            self._switched(True)
            self._book(took_s, managing=False)
        else:
            self._book(took_s, managing=False)
            self._agenda.at(self._agenda.now_s + took_s, self._switched, False)
        return took_s

    def _switched(self, on: bool) -> None:
        self.settle()
        self._is_on = on
        self._re_online()

    def _re_online(self) -> None:
        self._cores.use(self.cpus_online if self._is_on else ())

    # ------------------------------------------------------------ clocks

    def set_clock(
        self,
        clock: float | str,
        governor: Governor | None,
        *,
        edges: bool = True,
        paces: Mapping[int, Pace] = NO_PACES,
    ) -> None:
        """Ask for a clock in MHz, or hand the clock to a governor.

        Args:
            clock: the clock in MHz; with a governor it does not matter.
            governor: the governor; None for a clock in MHz.
            paces: by slot, the rule by which its requests get clocks; empty for one clock.
            edges: true if a governor that can be is told when cores become busy and idle, as a kernel tells it; else it
                samples as on an emulated board.
        """
        if self._governor is not None:
            self._governor.retire()
            self._governor = None
        if governor is None:
            assert not isinstance(clock, str)
            self._asked_mhz = clock
            self._request_clocks.set_rules(paces, clock)
            self._ask_again()
            return
        self._request_clocks.set_rules(NO_PACES, self._asked_mhz)
        self._governor = WorkingGovernor(governor, self, self._agenda, edges=edges)
        self._governor.start()

    def _ask_again(self) -> None:
        if self._request_clocks.paces:
            # What runs already has used up some of its time, so it gets the clock that the plan would give it.
            for claim in self._running:
                claim.mhz = max(claim.mhz, self._asked_mhz)
            self._follow_requests()
        else:
            self.ask(self._asked_mhz)

    def _follow_requests(self) -> None:
        """Ask for the highest clock that a request here wants, or the one to rest at while there is none."""
        self.coming.ask(self._request_clocks.granted_mhz(self._running), self.mhz)

    def clamp(self, clamps_mhz: Mapping[int, float]) -> None:
        """Set, by slot, the clock that its application needs while it runs, for a governor that takes hints."""
        self._clamps_mhz = clamps_mhz

    def limit(self, *, max_mhz: float | None, cpus_online: tuple[int, ...], other_load: float) -> None:
        """Change what the unit may do from now on; all three are set.

        Args:
            max_mhz: the highest clock; None is no limit.
            cpus_online: the CPUs in use, some of `BoardUnit.all_cpus`.
            other_load: share of each core online that others take, 0 to 1.
        """
        self.settle()
        self._max_mhz, self.cpus_online, self._other_load = max_mhz, cpus_online, other_load
        self._re_online()
        self._re_allow()
        self._re_pace()

    def slow(self, slowdown: float) -> None:
        """Have requests take so many times as long from now on, also those that have cores."""
        self.settle()
        self._progress.slow(slowdown)
        self._re_pace()

    def hold_down(self, max_mhz: float | None) -> None:
        """Set the highest clock that heat allows; None is no limit."""
        self._thermal_mhz = max_mhz
        self._re_allow()

    def _re_allow(self) -> None:
        caps = [cap for cap in (self._max_mhz, self._thermal_mhz) if cap is not None]
        self.allowed = self.spec.allowed(min(caps, default=None))
        self._request_clocks.limit(self.allowed)
        if self._governor is None:
            self._ask_again()
        else:
            self._governor.step()

    def ask(self, mhz: float) -> None:
        """Have the lowest allowed clock of at least that in force after the transition latency."""
        self.coming.ask(at_least(mhz, self.allowed), self.mhz)

    def _change(self, mhz: float) -> None:
        if mhz == self.mhz:
            return
        self.settle()
        if self._governor is not None:
            self._governor.tell_clock()
        self.mhz = mhz
        self._place = self.spec.mhz.index(mhz)
        self.aside.set_clock(mhz)
        self.clock_changes += 1
        self._re_pace()
        if self._request_clocks.paces:
            self._on_request_clock()

    def _re_pace(self) -> None:
        self._progress.set_pace(self._place, self._other_load)
        for claim in self._running:
            self._schedule(claim)

    # ------------------------------------------------------------ meters

    def core_busy_s(self) -> list[float]:
        """Return the time so far that each core was taken, or used by others while it was not."""
        self.settle()
        return self._cores.busy_s(self._agenda.now_s)

    def settle(self) -> None:
        """Bring progress and meters up to now.

        It is called before anything changes that they depend on, so every rate was constant since the last call.
        """
        now_s = self._agenda.now_s
        span_s = now_s - self._since_s
        if span_s <= 0:
            return
        self._since_s = now_s
        self._progress.pass_time(span_s)
        if self._other_load or self.aside.jobs:
            self._pass_time_with_others(span_s)
        elif self._held:
            self.meters.pass_busy_time(span_s, self._place, self._held.bit_count(), self._active, 0)
        else:
            self.meters.pass_idle_time(span_s, self._place, on=bool(self._cores.online))

    def _pass_time_with_others(self, span_s: float) -> None:
        """Count a span in which other programs had a load, or managing was done beside the requests."""
        busy, active = float(self._held.bit_count()), self._active
        if self._other_load:
            others = self._other_load * self._cores.pass_others_time(span_s, self._other_load)
            busy += others
            active += others
        aside = len(self.aside.jobs)
        if aside:
            self.aside.pass_time(span_s)
            for core in self._cores.idlest(aside):
                core.busy_s += span_s
        if busy + aside:
            self.meters.pass_busy_time(span_s, self._place, busy + aside, active + aside, aside)
        else:
            self.meters.pass_idle_time(span_s, self._place, on=bool(self._cores.online))
