"""The ledger under faults: applications take, hold and release cores on virtual time, and one of them fails or dies.

Each application has a process of its own as far as the others can see: a child that only sleeps, whose number and
start are in its tickets, and which is killed or stopped when the application is. What happens in the ledger happens in
threads that take turns. Whoever is left gets all cores in the end, no core is given twice, and no total runs backwards.
"""

from __future__ import annotations

import atexit
import random
import signal
import subprocess
import threading
from collections.abc import Callable, Collection
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar
from unittest.mock import patch

from actors.ledger import processes
from actors.ledger.lease import Lease
from actors.ledger.leases import FencedError
from actors.ledger.ledger import BoardLedger
from actors.ledger.processes import ProcessKey
from actors.process_identity import ProcessIdentity
from faults.points import Killed, Points, Subject, kind
from faults.system import under_faults
from faults.turns import Turns
from helpers.mortal_records import MortalRecords
from helpers.small_ledger import BOARD
from helpers.virtual_clock import VirtualClock
from scheduler.request_clock import Pace, Timing

_STORES, _CALLS = "store", ("open", "create", "read", "write", "lock", "unlock", "map", "stat")
_KINDS = (
    kind("killed", _STORES, *_CALLS),
    kind("killed within a store", _STORES),
    kind("stopped", _STORES, *_CALLS),
    kind("EIO", "open", "create", "read", "write", "lock"),
    kind("EINTR", "open", "create", "read", "write", "lock"),
    kind("ENOMEM", "open", "create", "map", "pidfd"),
    kind("EMFILE", "open", "create", "pidfd"),
    kind("EMFILE from then on", "open", "create", "pidfd", lasts=True),
    kind("ENOLCK", "lock"),
)
_SLOTS = 4
_ROUNDS = 4
_STEP_S = 0.02
"""Board time that passes with each turn."""
_WATCHED_S = 1.0
"""Time for which whoever has met an error goes on before the watch-dog ends its process."""


class _Body:
    """A process that others see, and that does nothing."""

    _pool: ClassVar[dict[int, subprocess.Popen[bytes]]] = {}

    def __init__(self, slot: int) -> None:
        self._slot = slot
        if slot not in self._pool or self._pool[slot].poll() is not None:
            self._pool[slot] = subprocess.Popen(
                ["/bin/sleep", "600"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        self._process = self._pool[slot]
        identity = ProcessIdentity.of(self._process.pid)
        assert identity is not None
        self.key = ProcessKey(float(identity.pid), float(identity.start_ticks))

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._pool.pop(self._slot, None)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    @classmethod
    def end_all(cls) -> None:
        """End all children."""
        for process in cls._pool.values():
            process.kill()
            process.wait()
        cls._pool.clear()


atexit.register(_Body.end_all)


class _Gate(Points):
    """The points of one thread alone: others have no faults."""

    def __init__(self, points: Points) -> None:
        super().__init__(points.kind)
        self._points = points
        self.thread: threading.Thread | None = None
        self._in_lock = False

    def strikes(self, operation: str) -> bool:
        if threading.current_thread() is not self.thread:
            return False
        # One that is stopped within a lock is killed by whoever waits, by the wall's clock: `test_fencing.py`.
        struck = not (self._in_lock and self.kind.name == "stopped") and self._points.strikes(operation)
        self._in_lock = (self._in_lock or operation == "lock") and operation != "unlock"
        return struck


class _Scene:
    """Some applications on one ledger.

    Attributes:
        held: by slot, the cores that a living application believes to have.
        bodies: by slot, the process that others take an application for.
        strike: what the fault does to its victim where it is no error.
    """

    strike: Callable[[], None]

    def __init__(self, points: Points, directory: Path, rng: random.Random) -> None:
        self.gate, self.rng, self.directory = _Gate(points), rng, directory
        self.clock = VirtualClock()
        self.witness = BoardLedger.create(directory / "ledger", BOARD, slots=_SLOTS, clock=self.clock)
        self.held: dict[int, tuple[str, Collection[int]]] = {}
        self.bodies: dict[int, _Body] = {}
        self.turns = Turns(rng, self._between)
        self.victim = rng.randrange(_SLOTS - 1)
        self._got_s: dict[int, float] = {}
        self._held_s: dict[tuple[str, int], float] = {}
        self._totals = {unit.name: self.witness.read(unit.name) for unit in BOARD.units}

    def pause(self) -> None:
        self.turns.pause()

    def _between(self) -> None:
        """Let time pass, and check that no total has run backwards."""
        self.clock.sleep_until(self.clock.now_s() + self.rng.uniform(0, 2 * _STEP_S))
        for name, before in self._totals.items():
            now = self.witness.read(name)
            for field in ("mhz_s", "static_j", "dynamic_j"):
                then, this = getattr(before, field) or 0.0, getattr(now, field) or 0.0
                assert then <= this + 1e-9, f"{name}: {field} went from {then} to {this}"
            for then, this in zip(before.busy_s, now.busy_s, strict=True):
                assert then <= this + 1e-9, f"{name}: busy_s went from {before.busy_s} to {now.busy_s}"
            assert all(busy_s <= self.clock.now_s() + 1e-9 for busy_s in now.busy_s), f"{name}: busy for {now.busy_s}"
            self._totals[name] = now

    def got(self, slot: int, unit: str, cpus: Collection[int]) -> None:
        """Note that an application has its cores, which nobody else may have."""
        for other, (where, theirs) in self.held.items():
            if self.witness.fences()[other].process == self.bodies[other].key:
                continue  # it was stopped on its cores and fenced off, and is about to be killed
            taken = where == unit and (unit == "gpu" or set(theirs) & set(cpus))
            assert not taken, f"{unit} {cpus} is given to {slot}, and {other} has {theirs}"
        self.held[slot] = (unit, cpus)
        self._got_s[slot] = self.clock.now_s()

    def gives_back(self, slot: int) -> None:
        """Note that an application is about to give its cores back, whose time has to be counted."""
        unit, cpus = self.held.pop(slot)
        for cpu in cpus:
            self._held_s[unit, cpu] = self._held_s.get((unit, cpu), 0.0) + self.clock.now_s() - self._got_s[slot]

    def check_progress(self, lease: Lease, done_ms: float) -> None:
        """Check the progress of a request that no clock stretches, beside others who take up to half of each core."""
        if self.witness.fences()[lease.slot].process == self.bodies[lease.slot].key:
            return
        most_ms = 1e3 * BOARD.unit(lease.unit).speed * (self.clock.now_s() - lease.start_s)
        assert most_ms / 2 - 1e-9 <= done_ms <= most_ms + 1e-9, f"{lease}: {done_ms} ms done, at most {most_ms}"

    def check_end(self) -> None:
        """Check that all cores are to be had, and that the time for which they were held was counted."""
        for unit in BOARD.units:
            looks = iter(range(5))
            lease = self.witness.take(
                _SLOTS - 1, unit.name, unit.cpus, 0.0, lambda looks=looks: next(looks, None) is None
            )
            assert lease is not None, f"{unit.name}: cores are lost, {self.witness.holders(unit.name)} have them"
            busy_s = self.witness.read(unit.name).busy_s
            for index, cpu in enumerate(unit.cpus):
                held_s = self._held_s.get((unit.name, cpu), 0.0)
                assert held_s <= busy_s[index] + 1e-9, f"{unit.name}: CPU {cpu} was held for {held_s}, busy {busy_s}"


class _Application:
    """One application: a thread that asks for cores, and the process that others take it for."""

    def __init__(self, scene: _Scene, slot: int) -> None:
        self._scene, self._slot = scene, slot
        self._body = scene.bodies[slot] = _Body(slot)
        self._is_victim = slot == scene.victim
        self._dead = False
        scene.turns.add(self._live)

    def _live(self) -> None:
        scene = self._scene
        if self._is_victim:
            scene.gate.thread, scene.strike = threading.current_thread(), self._strike
        try:
            self._ledger = ledger = BoardLedger.attach(scene.directory / "ledger", BOARD, scene.clock)
        except (Exception, Killed):  # it never starts, and Ray starts another
            assert self._is_victim
            return
        ledger._process = self._body.key
        if self._is_victim:
            victim, scene.gate.thread = scene.gate.thread, None  # what the test itself does is no point
            ledger._file.records.close()
            ledger._file.records = MortalRecords(ledger.path / "ledger", self._at_store, self._die)
            scene.gate.thread = victim
        real_wait = ledger._wakers.wait

        def wait(slot: int, at_most_ms: int, others: Collection[int] = ()) -> bool:
            scene.pause()
            return real_wait(slot, 0, others)

        ledger._wakers.wait = wait  # type: ignore[method-assign]
        try:
            for _ in range(_ROUNDS):
                self._one_request(ledger)
        except Killed:
            assert self._is_victim
            self._end()
            return
        except FencedError:
            assert self._is_victim
            self._end()
            return
        except AssertionError:
            raise
        except Exception:  # its inference thread has ended; the watch-dog ends its process for it
            assert self._is_victim
            scene.gate.thread = None
            until_s = scene.clock.now_s() + _WATCHED_S
            while not self._dead and scene.clock.now_s() < until_s:
                scene.pause()
            self._end()
            return
        ledger.close()

    def _one_request(self, ledger: BoardLedger) -> None:
        scene, rng = self._scene, self._scene.rng
        scene.pause()
        unit = "gpu" if rng.random() < 0.2 else "big"
        cpus = () if unit == "gpu" else rng.choice(((4,), (5,), (4, 5)))
        tries = rng.choice((5, 10**6))
        asked = 0

        def give_up() -> bool:
            nonlocal asked
            asked += 1
            return asked > tries

        due_s, own = scene.clock.now_s() + rng.uniform(0, 0.2), rng.choice((None, 1.0))
        lease = ledger.take(self._slot, unit, cpus, due_s, give_up, memory_share=own)
        if lease is None:
            return
        scene.got(self._slot, unit, cpus)
        try:
            for _ in range(rng.randrange(3)):
                scene.pause()
            if own:
                scene.check_progress(lease, ledger.progress(lease).done_ms - lease.start_progress_ms)
            if rng.random() < 0.5:
                ledger.ask(lease, Timing(samples_ms=(10.0,), arrival_s=0.0, deadline_s=rng.choice((0.0, 1e9))))
        finally:
            if not self._dead:
                scene.gives_back(self._slot)
                ledger.release(lease)

    # ------------------------------------------------------------ the fault

    def _at_store(self) -> bool:
        if not self._scene.gate.strikes(_STORES):
            return False
        if self._scene.gate.kind.name == "killed within a store":
            return True
        self._strike()
        return False

    def _strike(self) -> None:
        if self._scene.gate.kind.name == "stopped":
            self._body.stop()
            # It goes no further until it is killed, which those do who wait for it, or the watch-dog at last.
            until_s = self._scene.clock.now_s() + _WATCHED_S
            while self._body.alive and self._scene.clock.now_s() < until_s:
                self._scene.pause()
        self._die()

    def _die(self) -> None:
        self._end()
        raise Killed

    def _end(self) -> None:
        """End the process: the kernel closes its files, and what it held is nobody's."""
        if self._dead:
            return
        self._dead = True
        self._scene.held.pop(self._slot, None)
        self._body.kill()
        if hasattr(self, "_ledger"):
            self._ledger.close()


def _agent(scene: _Scene) -> Callable[[], None]:
    """Return the board agent's work: it turns clocks and loads, and ends who holds cores for too long."""

    def work() -> None:
        for _ in range(3 * _ROUNDS):
            scene.pause()
            match scene.rng.randrange(5):
                case 0:
                    scene.witness.set_unit("big", mhz=scene.rng.choice((500.0, 1000.0, 2000.0)))
                case 1:
                    scene.witness.set_unit("big", other_load=scene.rng.choice((0.0, 0.5)))
                case 2:
                    scene.witness.pace("big", 1000.0, {0: Pace(rest_mhz=500.0, least_mhz=1000.0, share=1.0)})
                case 3:
                    scene.witness.pace("big", 1000.0, {})
                case 4:
                    scene.witness.enforce()

    return work


def _run(points: Points, directory: Path, rng: random.Random) -> None:
    scene = _Scene(points, directory, rng)
    for slot in range(_SLOTS - 1):
        _Application(scene, slot)
    scene.turns.add(_agent(scene))
    with (
        patch.object(processes, "time", SimpleNamespace(monotonic=scene.clock.now_s)),
        under_faults(scene.gate, directory, lambda: scene.strike()),
    ):
        scene.turns.run()
        scene.check_end()
    scene.witness.remove()


SUBJECT = Subject(name="ledger", kinds=_KINDS, run=_run)
