"""One unit of a simulated board: its clock, its cores' tokens, who waits for them, and where its time went.

The rules are those of the emulated board (`actors.ledger.ledger`, `actors.agent.devices.emulated`): a request holds the
tokens of its cores from its start until the unit's pace has covered its service time; who waits gets cores by deadline,
and a later one never passes an earlier one to a core that both want. Beyond them a clock takes its transition latency
to come into force, and a core that has been idle for long takes its exit latency to begin.

It knows no networks, no targets and no manager.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from scheduler.board import BoardUnit
from scheduler.governors import EdgeGovernor, Governor, HintedGovernor, at_least, next_sample_s
from workloads.simulator.agenda import Agenda

_AT_ONCE_S = 1e-9
"""Times that lie closer together are one moment: 453 / 15 s and 25 s + 52 / 10 s are not the same number."""


class Claimant(Protocol):
    """Whose request it is."""

    def claims(self) -> bool:
        """Asked when its cores are free: whether it still wants them. If so, it has them from then on."""
        ...

    def ended(self) -> None:
        """Its service is over."""
        ...


MAX_OTHER_LOAD_SIMULATED = 0.999
"""Largest load of other programs that a simulated unit has.

Where they take all of it, they leave a request the rest, 0.1 %, so that the request does end.
"""


@dataclass(slots=True, eq=False)  # not frozen: there is one for each request, and that would cost a microsecond
class Taking:
    """One request's claim to cores: it waits for them, then holds them until its service is over.

    Attributes:
        claimant: whose it is.
        cores: places of the cores in their unit.
        mask: the same with a bit for each.
        deadline_s: earlier ones are served first; at equal ones the lower slot.
        slot: number of the application, which has one claim to a unit at a time.
        work_ms: profiled time that it takes; once it has begun, with what came on top.
        start_s: when it got its cores.
        goal_ms: progress of its unit by which its service is over.
        end_s: when that will be, if nothing changes; below 0 while it has no cores.
    """

    claimant: Claimant
    cores: tuple[int, ...]
    mask: int
    deadline_s: float
    slot: int
    work_ms: float
    start_s: float = field(default=0.0, init=False)
    goal_ms: float = field(default=0.0, init=False)
    end_s: float = field(default=-1.0, init=False)


def mask_of(cores: Iterable[int]) -> int:
    """A bit for each core."""
    return sum(1 << core for core in set(cores))


class _Core:
    """Who holds a core since when, and how long it was held before."""

    __slots__ = ("busy_s", "holder", "idle_since_s", "since_s")

    def __init__(self, now_s: float) -> None:
        self.holder: Taking | None = None
        self.since_s = now_s
        self.busy_s = 0.0
        self.idle_since_s = now_s


class SimulatedUnit:
    """One unit.

    Args:
        spec: what `cluster.yaml` says of it.
        agenda: of the simulation.

    Attributes:
        spec: as given.
        mhz: the clock in force.
        allowed: the clocks that it may take now, rising.
        clock_changes: so far.
        time_s: by clock, how long it stood there.
        idle_s: of that, while no core was busy.
        busy_s: by clock, core time taken, other load and managing included.
        managing_s: of that, by managing.
        energy_j: at the stated power, heat left out; 0 where power is unknown.
        cores_online: cores in use, the first ones.
    """

    def __init__(self, spec: BoardUnit, agenda: Agenda) -> None:
        self.spec = spec
        self.allowed = spec.mhz
        self.clock_changes = 0
        self.time_s = [0.0] * len(spec.mhz)
        self.idle_s = [0.0] * len(spec.mhz)
        self.busy_s = [0.0] * len(spec.mhz)
        self.managing_s = [0.0] * len(spec.mhz)
        self.energy_j = 0.0
        self.cores_online = spec.cores
        self._agenda = agenda
        self._cores = [_Core(agenda.now_s) for _ in range(spec.cores)]
        self._waiting: list[Taking] = []
        """The most urgent first."""
        self._running: list[Taking] = []
        self._held = 0
        """A bit for each core that is held."""
        self._other_load = 0.0
        self._max_mhz: float | None = None
        self._thermal_mhz: float | None = None
        self._since_s = agenda.now_s
        self._progress_ms = 0.0
        self._asked_mhz = spec.mhz[0]
        self._coming: float | None = None
        self._asked_s = agenda.now_s
        self._comes_s = 0.0
        self._governor: Governor | None = None
        self._edges: EdgeGovernor | None = None
        self._hinted: HintedGovernor | None = None
        self._clamps_mhz: Mapping[int, float] = {}
        self._sampled = False
        self._stepped_s = 0.0
        self._paces = [1e3 * spec.pace(mhz) for mhz in spec.mhz]
        self._static_w = spec.static_w or (0.0,) * len(spec.mhz)
        self._dynamic_w = spec.dynamic_w or (0.0,) * len(spec.mhz)
        self._place = 0
        self.mhz = spec.mhz[0]
        self._pace = self._paces[0]

    # ------------------------------------------------------------ tokens

    def take(self, taking: Taking) -> None:
        """Gives a request its cores, now or when it is its turn.

        Something else due at this very moment comes first: it may be a request with an earlier deadline.
        """
        now_s = self._agenda.now_s
        if self._agenda.next_s - now_s <= _AT_ONCE_S:
            insort(self._waiting, taking, key=_urgency)
            self._agenda.at(now_s + _AT_ONCE_S, self._serve_due)
        elif not self._waiting and not self._held & taking.mask:
            self._begin(taking)
        else:
            insort(self._waiting, taking, key=_urgency)
            self._serve()

    def withdraw(self, taking: Taking) -> None:
        """Lets a request that still waits do so no more."""
        self._waiting.remove(taking)
        self._serve()

    def stop(self, taking: Taking) -> None:
        """Ends a service before its time; nobody is told."""
        self._release(taking)
        self._serve()

    def _serve_due(self, _: object) -> None:
        self._serve()

    def _serve(self) -> None:
        """Gives free cores to those who wait for them, by deadline."""
        claimed = 0
        for taking in self._waiting[:]:
            if (self._held | claimed) & taking.mask:
                claimed |= taking.mask
            else:
                self._waiting.remove(taking)
                self._begin(taking)

    def _begin(self, taking: Taking) -> None:
        if not taking.claimant.claims():
            return
        self.settle()
        now_s = self._agenda.now_s
        exit_us = 0.0
        for core in taking.cores:
            held = self._cores[core]
            held.holder, held.since_s = taking, now_s
            for state in self.spec.idle_states:
                if now_s - held.idle_since_s >= 1e-6 * state.residency_us:
                    exit_us = max(exit_us, state.exit_us)
        self._held |= taking.mask
        self._running.append(taking)
        taking.start_s = now_s
        taking.work_ms += 1e-6 * exit_us * self._pace
        taking.goal_ms = self._progress_ms + taking.work_ms
        self._schedule(taking)
        if self._hinted is not None:
            for core in taking.cores:
                self._hinted.hint(core, self._clamps_mhz.get(taking.slot))
        if self._edges is not None:
            self._tell_edges(taking, busy=True)

    def _schedule(self, taking: Taking) -> None:
        """Has a running request end when its service will be covered, if nothing changes until then."""
        left_ms = taking.goal_ms - self._progress_ms
        taking.end_s = self._agenda.now_s + max(0.0, left_ms) / self._pace
        self._agenda.at(taking.end_s, self._end, taking)

    def _end(self, taking: Taking) -> None:
        if taking.end_s != self._agenda.now_s:  # put off, or stopped, since this was put down
            return
        self._release(taking)
        if self._waiting:
            self._serve()
        taking.claimant.ended()

    def _release(self, taking: Taking) -> None:
        self.settle()
        now_s = self._agenda.now_s
        taking.end_s = -1.0
        for core in taking.cores:
            held = self._cores[core]
            held.busy_s += now_s - held.since_s
            held.holder, held.idle_since_s = None, now_s
        self._held &= ~taking.mask
        self._running.remove(taking)
        if self._edges is not None:
            self._tell_edges(taking, busy=False)

    # ------------------------------------------------------------ managing

    def spend(self, cpu_ms: float, *, urgent: bool) -> float:
        """Takes CPU time for something that is no request, on an idle core, or else on the last one online.

        Args:
            cpu_ms: at the unit's top clock.
            urgent: whether a request that has the core waits for it; else it runs beside.

        Returns:
            How long it takes at the present clock, in seconds.
        """
        if cpu_ms <= 0:
            return 0.0
        self.settle()
        took_s = 1e-3 * cpu_ms * self.spec.mhz[-1] / self.mhz
        self.busy_s[self._place] += took_s
        self.managing_s[self._place] += took_s
        online = self._cores[: max(1, self.cores_online)]
        core = next((core for core in online if core.holder is None), online[-1])
        core.busy_s += took_s
        self.energy_j += took_s * self._dynamic_w[self._place]
        if not (self._held or self._other_load):  # it was counted as idle, or is going to be
            self.idle_s[self._place] -= took_s
            self.energy_j += took_s * self._static_w[self._place] * (1 - self.spec.idle_share)
        if urgent and core.holder is not None:
            core.holder.work_ms += took_s * self._pace
            core.holder.goal_ms += took_s * self._pace
            self._schedule(core.holder)
        return took_s

    # ------------------------------------------------------------ clocks

    def set_clock(self, clock: float | str, governor: Governor | None, *, edges: bool = True) -> None:
        """Asks for a clock in MHz, or hands the clock to a governor.

        Args:
            clock: in MHz; with a governor it does not matter.
            governor: None for a clock in MHz.
            edges: whether a governor that can be is told when cores become busy and idle, as a kernel tells it. Else
                it samples as on an emulated board.
        """
        self._governor, self._edges, self._sampled = governor, None, not edges
        self._hinted = governor if isinstance(governor, HintedGovernor) else None
        if governor is None:
            assert not isinstance(clock, str)
            self._asked_mhz = clock
            self._ask(clock)
            return
        if edges and isinstance(governor, EdgeGovernor):
            self._edges = governor
            self._tell_clock(governor)
        self._step_governor()
        self._agenda.at(self._step_due_s(governor), self._governor_due, governor)

    def clamp(self, clamps_mhz: Mapping[int, float]) -> None:
        """By slot, the clock that its application needs while it runs, for a governor that takes hints."""
        self._clamps_mhz = clamps_mhz

    def limit(self, *, max_mhz: float | None, cores_online: int, other_load: float) -> None:
        """Changes what the unit may do from now on; all three are set."""
        self.settle()
        self._max_mhz, self.cores_online, self._other_load = max_mhz, cores_online, other_load
        self._re_allow()
        self._re_pace()

    def hold_down(self, max_mhz: float | None) -> None:
        """The highest clock that heat allows; None is no limit."""
        self._thermal_mhz = max_mhz
        self._re_allow()

    def _re_allow(self) -> None:
        caps = [cap for cap in (self._max_mhz, self._thermal_mhz) if cap is not None]
        self.allowed = self.spec.allowed(min(caps, default=None))
        if self._governor is None:
            self._ask(self._asked_mhz)
        else:
            self._step_governor()

    def _ask(self, mhz: float) -> None:
        """Has the lowest allowed clock of at least that in force after the transition latency."""
        granted = at_least(mhz, self.allowed)
        if granted == (self.mhz if self._coming is None else self._coming):
            return
        self._coming, self._asked_s = granted, self._agenda.now_s
        self._comes_s = self._agenda.now_s + 1e-6 * self.spec.transition_us
        self._agenda.at(self._comes_s, self._change, granted)

    def _change(self, mhz: float) -> None:
        if mhz != self._coming or self._agenda.now_s != self._comes_s:  # another one has been asked for meanwhile
            return
        self._coming = None
        if mhz == self.mhz:
            return
        self.settle()
        if self._edges is not None:
            self._tell_clock(self._edges)
        self.mhz = mhz
        self._place = self.spec.mhz.index(mhz)
        self.clock_changes += 1
        self._re_pace()

    def _re_pace(self) -> None:
        self._pace = self._paces[self._place] * (1 - min(self._other_load, MAX_OTHER_LOAD_SIMULATED))
        for taking in self._running:
            self._schedule(taking)

    # ------------------------------------------------------------ governors

    def _step_due_s(self, governor: Governor) -> float:
        """When it is to step next, if no edge has it do so sooner."""
        if self._sampled:
            return next_sample_s(self._stepped_s, governor.period_us)
        return self._stepped_s + 1e-6 * governor.period_us

    def _governor_due(self, governor: Governor) -> None:
        if governor is not self._governor:  # replaced since
            return
        if self._step_due_s(governor) <= self._agenda.now_s + 1e-9:  # else an edge had it step meanwhile
            self._step_governor()
        self._agenda.at(self._step_due_s(governor), self._governor_due, governor)

    def _step_governor(self) -> None:
        assert self._governor is not None
        now_s = self._agenda.now_s
        self._stepped_s = now_s
        busy_us = tuple(1e6 * busy_s for busy_s in self.core_busy_s())
        self._ask(self._governor.step(1e6 * now_s, busy_us, self.mhz, self.allowed))

    def _tell_clock(self, edges: EdgeGovernor) -> None:
        """Tells the governor which clock it was until now. It does not decide again for that."""
        for number, core in enumerate(self._cores):
            task = core.holder.slot if core.holder else None
            edges.edge(1e6 * self._agenda.now_s, number, core.holder is not None, self.mhz, task)

    def _tell_edges(self, taking: Taking, *, busy: bool) -> None:
        """Tells the governor that a request has begun or ended."""
        assert self._edges is not None
        now_us = 1e6 * self._agenda.now_s
        for core in taking.cores:
            self._edges.edge(now_us, core, busy, self.mhz, taking.slot)
        # The kernel's rate limit counts from the last change of clock (`sugov_should_update_freq`).
        if self._edges.hooked and now_us - 1e6 * self._asked_s >= self._edges.period_us:
            self._step_governor()

    # ------------------------------------------------------------ meters

    def core_busy_s(self) -> list[float]:
        """Time so far that each core was taken, or used by others while it was not."""
        self.settle()
        now_s = self._agenda.now_s
        return [core.busy_s + (now_s - core.since_s if core.holder is not None else 0.0) for core in self._cores]

    def settle(self) -> None:
        """Brings progress and meters up to now."""
        now_s = self._agenda.now_s
        span_s = now_s - self._since_s
        if span_s <= 0:
            return
        self._since_s = now_s
        place = self._place
        self._progress_ms += span_s * self._pace
        self.time_s[place] += span_s
        busy = float(self._held.bit_count())
        if self._other_load:
            busy += self._use_by_others(span_s)
        if busy:
            self.busy_s[place] += span_s * busy
            self.energy_j += span_s * (self._static_w[place] + self._dynamic_w[place] * busy)
        else:
            self.idle_s[place] += span_s
            self.energy_j += span_s * self._static_w[place] * self.spec.idle_share

    def _use_by_others(self, span_s: float) -> float:
        """Others use their share of every core online that no request has; returns how many cores that makes."""
        free = [core for core in self._cores[: self.cores_online] if core.holder is None]
        for core in free:
            core.busy_s += span_s * self._other_load
        return self._other_load * len(free)


def _urgency(taking: Taking) -> tuple[float, int]:
    return taking.deadline_s, taking.slot
