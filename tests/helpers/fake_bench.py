"""A calibration's bench on a fake kernel: cores that compute in virtual time, and rails that show what they take."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from actors.agent.machine import Machine
from actors.agent.sensors import RailTotals, Sampler
from actors.board_commands.bench import Bench, Units
from helpers.fake_kernel import FakeKernel, FakeTree
from helpers.virtual_clock import VirtualClock
from scheduler.board import Board

_STEP_S = 0.02


@dataclass
class Silicon:
    """What is true of a fake board, which no file tells.

    Attributes:
        kernel: the kernel.
        unit_of: unit of each CPU.
        step_s: by unit, how long a step takes at a clock in MHz.
        static_w: by unit, what it takes at a clock with no load.
        dynamic_w: by unit, what one busy core adds at a clock.
        rails: by rail of the kernel's, the units behind it, and what else it feeds, in W.
        busy: the CPUs that compute now.
        activity: factor on what busy cores add, of what computes there now.
        off_w: what a unit takes while all its CPUs are offline.
        ripple_w: most that a rail wavers by from one moment to the next.
    """

    kernel: FakeKernel
    unit_of: Mapping[int, str]
    step_s: Mapping[str, Callable[[float], float]]
    static_w: Mapping[str, Callable[[float], float]] = field(default_factory=dict)
    dynamic_w: Mapping[str, Callable[[float], float]] = field(default_factory=dict)
    rails: Mapping[str, tuple[Sequence[str], float]] = field(default_factory=dict)
    busy: frozenset[int] = frozenset()
    activity: float = 1.0
    off_w: float = 0.0
    ripple_w: float = 0.0
    _chance: random.Random = field(default_factory=lambda: random.Random(0))

    def __post_init__(self) -> None:
        for rail in self.rails:
            self.kernel.rails[rail] = lambda now_s, rail=rail: self.power_w(rail)  # type: ignore[misc]

    def mhz(self, cpu: int) -> float:
        """Return the clock that a CPU has in truth."""
        return next(p.true_khz for p in self.kernel.cpufreq.policies.values() if cpu in p.cpus) / 1000

    def power_w(self, rail: str) -> float:
        """Return what a rail shows now."""
        units, rest_w = self.rails[rail]
        for unit in units:
            cpus = [cpu for cpu, its in self.unit_of.items() if its == unit]
            if not self.kernel.cpus.online.intersection(cpus):
                rest_w += self.off_w
                continue
            mhz = self.mhz(cpus[0])
            busy = self.activity * len(self.busy.intersection(cpus))
            rest_w += self.static_w[unit](mhz) + busy * self.dynamic_w[unit](mhz)
        return rest_w + self.ripple_w * self._chance.uniform(-1, 1)


class FakeLoad:
    """Load in virtual time.

    Attributes:
        closed: True once it was closed.
        before_start: called before each load; it may raise.
    """

    def __init__(self, silicon: Silicon) -> None:
        self.closed = False
        self.before_start: Callable[[], None] = lambda: None
        self._silicon = silicon

    def start(self, cpus: Sequence[int]) -> None:
        self.before_start()
        self._silicon.busy = frozenset(cpus)

    def stop(self) -> float | None:
        busy, self._silicon.busy = sorted(self._silicon.busy), frozenset()
        if not busy:
            return None
        return self._silicon.step_s[self._silicon.unit_of[busy[0]]](self._silicon.mhz(busy[0]))

    def close(self) -> None:
        self.closed = True
        self._silicon.busy = frozenset()


class _StepClock(VirtualClock):
    """Virtual time in small steps, at each of which the meters read."""

    def __init__(self) -> None:
        super().__init__()
        self.at_steps: list[Callable[[], None]] = []
        self._read_s = 0.0

    def sleep_until(self, at_s: float) -> None:
        while self.now_s() < at_s:
            super().sleep_until(min(at_s, self._read_s + _STEP_S))
            if self.now_s() >= self._read_s + _STEP_S:
                self._read_s = self.now_s()
                for action in self.at_steps:
                    action()


class _Meters:
    """The rails of the kernel, read as virtual time passes and not by a thread."""

    def __init__(self, board: Board, machine: Machine, clock: _StepClock, units: Units) -> None:
        self._sampler = Sampler(board, machine.tree, clock, units, lambda: 0.0)
        clock.at_steps.append(self._sampler.sample)

    def start(self) -> None:
        pass

    def mark(self) -> None:
        self._sampler.mark()

    def totals(self) -> tuple[RailTotals, ...]:
        return self._sampler.totals()

    def close(self) -> None:
        self._sampler.close()


def fake_bench(silicon: Silicon, state: Path) -> tuple[Bench, FakeLoad]:
    """Return a bench for a board, and its load."""
    clock = _StepClock()
    silicon.kernel.now_s = clock.now_s
    machine = Machine(tree=FakeTree(silicon.kernel), state=state)
    load = FakeLoad(silicon)
    bench = Bench(
        machine=machine,
        clock=clock,
        load=lambda cpus: load,
        meters=lambda board, units: _Meters(board, machine, clock, units),
    )
    return bench, load
