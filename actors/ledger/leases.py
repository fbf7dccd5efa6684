"""Leases: how a process takes the tokens of cores from the ledger, holds them for a request, and gives them back.

This is the part of `actors.ledger.ledger` that each request uses. No process can keep the others from their cores: what
one held that has ended is free at once, and one that holds cores or a lock for too long is fenced off and killed
(`actors.ledger.referee`, `actors.ledger.lock`).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import NoReturn

from actors.clock import BoardClock, Clock
from actors.ledger.layout import LedgerFile, SlotEntry
from actors.ledger.lease import Lease
from actors.ledger.lock import SharedLock
from actors.ledger.meters import UnitState
from actors.ledger.processes import ProcessFiles, ProcessKey, Sight, look
from actors.ledger.progress import Progress, RequestProgress, of_unit
from actors.ledger.referee import Referee
from actors.ledger.request_clocks import RequestClocks
from actors.ledger.shared import SharedRecords
from actors.ledger.tokens import Tokens
from actors.ledger.wakers import Wakers
from actors.requests.turns import mask_of
from scheduler.board import Board, BoardUnit

_POLL_MS = 20
"""Wall time after which a waiter looks again although nobody woke it: who should have may be dead."""

_UNWATCHED_MS = 3
"""Wall time after which a waiter begins to watch the processes that it waits for. Short waits are spared the watching,
which costs some tens of microseconds."""

_SPIN_WALL_S = 1e-3
"""End of a stretch that is spun and not slept: a sleep may end late by a timer's slack or because the core is busy."""

_SLICE_WALL_S = 2e-3
"""Longest sleep within a stretch: a change of clock is noticed this late at most."""

_TICK_S = 1e-9
"""Times closer together than this are equal."""


class FencedError(RuntimeError):
    """This process held cores or a lock for too long: others have fenced it off, and it gets no more cores."""


def _never() -> bool:
    return False


class Leases:
    """The leases of one board's cores, as one process sees them. A forked child must attach for itself.

    Attributes:
        path: directory of the ledger.
        board: its board.
        slots: how many applications it has room for.
    """

    def __init__(self, path: Path, board: Board, clock: Clock, records: SharedRecords) -> None:
        """Open a ledger whose file is mapped already; `create` and `attach` do that."""
        self.path = path
        self.board = board
        self._clock = clock
        self._file = LedgerFile(records, board)
        self.slots = self._file.slots
        self._numbers = {unit.name: number for number, unit in enumerate(board.units)}
        self._wakers = Wakers(path)
        self._progress = RequestProgress(self._file, board)
        self._tokens = Tokens(self._file, board, self._progress)
        self._clocks = RequestClocks(self._file, board)
        self._process = ProcessKey.own()
        # Virtual time is never late: there is nothing to spin for.
        scale = clock.time_scale if isinstance(clock, BoardClock) else 1.0
        self._referee = Referee(self._file, self._tokens, self._progress, len(board.units), scale)
        self._locks = [
            SharedLock(path / f"lock-{number}", partial(self._referee.lock_broken, number))
            for number in range(len(board.units))
        ]
        self._spin_s = _SPIN_WALL_S / scale if isinstance(clock, BoardClock) else 0.0
        self._slice_s = _SLICE_WALL_S / scale

    def close(self) -> None:
        """Release the memory and the files, which stay for other processes."""
        self._file.records.close()
        for lock in self._locks:
            lock.close()
        self._wakers.close()

    # ------------------------------------------------------------ tokens

    def take(
        self,
        slot: int,
        unit: str,
        cpus: Collection[int],
        deadline_s: float,
        give_up: Callable[[], bool] = _never,
        *,
        activity: float = 1.0,
        most_ms: float = math.inf,
        memory_share: float | None = None,
    ) -> Lease | None:
        """Take the tokens of all these CPUs at once, and wait for them if need be.

        Requests that wait for a core in common get it by deadline, the earliest first, and at equal deadlines by slot
        (`actors.requests.turns`). A request on its cores is never interrupted, unless its process ends or holds them
        for too long (`actors.ledger.referee`).

        Args:
            slot: number of the request's application; it has one request at a time.
            unit: name of the unit.
            cpus: the kernel's numbers of the unit's cores; none on a GPU, which is one token.
            deadline_s: board time at which the result is due.
            give_up: asked before the wait, now and then during it, and at once after `wake`; true ends the wait.
            activity: factor on the unit's `dynamic_w` while the request runs (`ServiceTime.activity`).
            most_ms: the slowest inference that the request's profile has; it bounds how long the cores may be held.
            memory_share: its network's own (`ServiceTime.memory_share`); None for the unit's.

        Returns:
            The lease, or None if it gave up or the slot was reaped meanwhile.

        Raises:
            ValueError: if a CPU is not one of the unit's.
            FencedError: if this process was fenced off.
        """
        number = self._numbers[unit]
        cores = _core_mask(self.board.units[number], cpus)
        with self._locks[number]:
            if self._file.fence(slot).process == self._process:
                raise FencedError(f"process {os.getpid()} was fenced off: it held cores or a lock for too long")
            ticket = self._file.entry(slot).ticket + self.slots
            wanted = SlotEntry(
                ticket,
                queue=number + 1,
                deadline_s=deadline_s,
                cores=cores,
                activity=activity,
                pid=self._process.pid,
                start_ticks=self._process.start_ticks,
                most_ms=most_ms,
            )
            self._progress.ask(slot, memory_share)
            self._file.put_entry(slot, wanted)
            self._tokens.serve(number, self._unit(number))
            entry = self._file.entry(slot)
        if entry.queue and entry.ticket == ticket:
            entry = self._await(number, slot, ticket, give_up)
        # Another ticket means that the slot gave up, or that `reap` took it out of the queue.
        if entry.ticket != ticket:
            return None
        return Lease(
            slot=slot,
            unit=unit,
            cpus=tuple(cpus),
            ticket=int(ticket),
            start_s=entry.start_s,
            start_progress_ms=entry.start_progress_ms,
            start_known_ms=entry.start_known_ms,
            start_core_j=self._file.unit(number).at(entry.start_s).dynamic_j,
            has_share=memory_share is not None,
        )

    def _await(self, number: int, slot: int, ticket: float, give_up: Callable[[], bool]) -> SlotEntry:
        """Wait until a slot's request for cores of a unit is served, or given up; return its entry."""
        # As with a futex, the state in shared memory alone counts: whoever frees cores writes there who has them now,
        # and a byte in the waiter's pipe only makes it look. So nothing is lost if the byte never comes: the waiter
        # looks again after a while by itself. Looking serves the queue too, in case a process died before it did.
        entry = self._file.entry(slot)
        if not give_up() and self._wakers.wait(slot, _UNWATCHED_MS):
            entry = self._file.entry(slot)
        with ProcessFiles() as files:
            while entry.queue and entry.ticket == ticket:
                others = self._referee.processes(number, but=slot)
                files.keep(others.values())
                giving_up = give_up()
                # A process that has ended before makes the wait end at once, and what it held is freed below.
                if not giving_up:
                    self._wakers.wait(slot, _POLL_MS, files.readable_at_end)
                entry = self._settle(number, look(others), slot, ticket, giving_up=giving_up)
        return entry

    def _settle(self, number: int, sight: Sight, slot: int, ticket: float, *, giving_up: bool) -> SlotEntry:
        """Free the cores of the dead and the overdue, serve the queue, and return what became of a slot's request."""
        with self._locks[number]:
            state = self._unit(number)
            overdue = self._referee.judge(number, state, sight)
            served = self._tokens.serve(number, state)
            entry = self._file.entry(slot)
            if giving_up and entry.queue and entry.ticket == ticket:
                entry = self._tokens.withdraw(slot)
                served += self._tokens.serve(number, state)
            self._follow(number, state.since_s)
        self._wake_all(served)
        for process in overdue:
            process.kill()
        return entry

    def enforce(self) -> None:
        """Free what processes held that have ended, and fence off those that hold cores for too long.

        Whoever waits for cores does this too; the board agent does it for cores that nobody waits for.
        """
        for number in range(len(self.board.units)):
            processes = self._referee.processes(number)
            if processes:
                self._settle(number, look(processes), next(iter(processes)), 0.0, giving_up=False)

    def release(self, lease: Lease) -> float:
        """Give the tokens back, and hand the cores to the requests that come next. Doing so twice changes nothing.

        Returns:
            The board time of the release.
        """
        number = self._numbers[lease.unit]
        with self._locks[number]:
            unit = self._unit(number)
            self._tokens.free(number, unit, lambda holder: holder == lease.ticket)
            served = self._tokens.serve(number, unit)
            self._follow(number, unit.since_s)
        self._wake_all(served)
        return unit.since_s

    def give_up_process(self, lease: Lease, held_wall_s: float, bound_wall_s: float) -> NoReturn:
        """Fence this process off by itself, since its network hung in the unit's executor; it gets no more cores.

        Args:
            lease: the tokens of the request that hung.
            held_wall_s: how long it was under way, in seconds on the wall.
            bound_wall_s: how long it might have been.

        Raises:
            FencedError: always.
        """
        number = self._numbers[lease.unit]
        with self._locks[number]:
            self._referee.hung(number, self._process, held_wall_s, bound_wall_s)
        raise FencedError(f"process {os.getpid()} gave itself up: its network hung on {lease.unit}")

    def stretch(self, lease: Lease, service_ms: float, give_up: Callable[[], bool] = _never) -> float:
        """Sleep until the clocks in force since a request's start have covered its service time.

        Args:
            lease: its tokens.
            service_ms: its service time in the profile, which is of the machine that measured, at its top clock.
            give_up: asked about every 2 ms; true ends the stretch early.

        Returns:
            The board time at which it returns: at once if the service was covered before.
        """
        # Progress is the integral of the pace. The service ends when the progress has grown by the service time,
        # whatever the clocks were. When that will be is predicted from the present pace, and again after each slice,
        # since the pace may have changed.
        goal_ms = lease.start_progress_ms + service_ms
        while True:
            now = self.progress(lease)
            left_ms = goal_ms - now.done_ms
            left_s = left_ms / (1e3 * now.pace) if now.pace else math.copysign(math.inf, left_ms)
            if left_s <= _TICK_S or give_up():
                return now.now_s
            end_s = now.now_s + left_s
            if left_s > self._spin_s:
                self._clock.sleep_until(min(end_s - self._spin_s, now.now_s + self._slice_s))
            else:
                while self._clock.now_s() < end_s:
                    pass

    def progress(self, lease: Lease) -> Progress:
        """Return how far a request that holds cores has got now; it began at `lease.start_progress_ms`.

        Of a lease that others have taken away the unit's progress counts: its process is being killed.
        """
        number = self._numbers[lease.unit]
        with self._locks[number]:
            unit = self._unit(number)
            if lease.has_share and self._file.entry(lease.slot).ticket == lease.ticket:
                return self._progress.of(number, unit, lease.slot)
        return of_unit(unit)

    def spent_mj(self, lease: Lease, activity: float, end_s: float) -> float | None:
        """Return the energy that a request's cores took on top of the unit's static power, in mJ.

        It is the integral of `dynamic_w` over the clocks in force meanwhile: 2 cores at 0.5 W for 20 ms take 20 mJ.

        Args:
            lease: its tokens.
            activity: factor on the unit's `dynamic_w` while it ran (`ServiceTime.activity`).
            end_s: board time of its end.

        Returns:
            The energy; None where the unit's power is unknown.
        """
        core_j = self._file.unit(self._numbers[lease.unit]).at(end_s).dynamic_j - lease.start_core_j
        return None if math.isnan(core_j) else core_j * activity * max(1, len(lease.cpus)) * 1000

    def reap(self, slot: int) -> None:
        """Free all that a dead worker held or waited for. What it held counts as busy until now."""
        for number in range(len(self.board.units)):
            with self._locks[number]:
                if self._file.entry(slot).queue in (0, number + 1):
                    self._tokens.withdraw(slot)
                unit = self._unit(number)
                self._tokens.free(number, unit, lambda holder: holder > 0 and holder % self.slots == slot)
                served = self._tokens.serve(number, unit)
                self._follow(number, unit.since_s)
            self._wake_all(served)

    def wake(self, slot: int) -> None:
        """Make a waiting `take` of that slot look again and ask its `give_up`. Any thread or process may call it."""
        self._wakers.wake(slot)

    # ------------------------------------------------------------ under the unit's lock

    def _follow(self, number: int, now_s: float) -> None:
        """Bring a paced unit to the clock that its requests want, or have the board agent do it."""
        unit, spec = self._file.unit(number).at(now_s), self.board.units[number]
        if not unit.paced:
            return
        mhz = self._clocks.wanted_mhz(number, unit)
        if mhz == unit.mhz:
            return
        if spec.emulated:
            self._progress.settle(number, unit)
            self._file.put_unit(number, unit.clocked(spec, mhz))
        else:
            self._wakers.wake(self.slots)

    def _unit(self, number: int) -> UnitState:
        """Return the unit as it is now."""
        return self._file.unit(number).at(self._clock.now_s())

    def _wake_all(self, slots: Collection[int]) -> None:
        for slot in slots:
            self.wake(slot)


def _core_mask(unit: BoardUnit, cpus: Collection[int]) -> int:
    if unit.kind == "gpu":
        return 1
    if not cpus or set(cpus) - set(unit.cpus):
        raise ValueError(f"cpus must be some of unit {unit.name!r}, {list(unit.cpus)}, not {list(cpus)!r}.")
    return mask_of(unit.cpus.index(cpu) for cpu in cpus)
