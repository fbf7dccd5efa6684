"""A fake Odroid XU3 on which the power of networks is measured, in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from actors.agent.hold import at_top_clocks
from actors.board_commands.bench import Bench
from actors.board_commands.network_power import CorePower, Work, network_powers
from actors.board_commands.probe import probe
from helpers.fake_bench import FakeLoad, Silicon, fake_bench
from helpers.fake_kernel import FakeTree, boards
from scheduler.board import Board

STATIC_W = {"little": lambda mhz: 0.02 + 5e-5 * mhz, "big": lambda mhz: 0.1 + 4e-4 * mhz}
DYNAMIC_W = {"little": lambda mhz: 1e-4 * mhz, "big": lambda mhz: 6e-4 * mhz}
ACTIVITY = {"small": 0.7, "large": 1.3}


class Network(FakeLoad):
    """A network that runs in virtual time."""

    def __init__(self, silicon: Silicon, work: Work) -> None:
        super().__init__(silicon)
        self.work = work
        self._own = silicon

    def start(self, cpus: Sequence[int]) -> None:
        self._own.activity = ACTIVITY[self.work.subnet]
        super().start(cpus)


class Rig:
    """An Odroid XU3 with a rail for each cluster, in virtual time; `board` has its true figures."""

    def __init__(self, state: Path, *, ripple_w: float = 0.004) -> None:
        self.silicon = Silicon(
            kernel=boards.odroid_xu3(),
            unit_of={cpu: "little" if cpu < 4 else "big" for cpu in range(8)},
            step_s=dict.fromkeys(("little", "big"), lambda mhz: 1.0 / mhz),
            static_w=STATIC_W,
            dynamic_w=DYNAMIC_W,
            rails={"A15": (("big",), 0.0), "A7": (("little",), 0.0)},
            ripple_w=ripple_w,
        )
        self.bench, _ = fake_bench(self.silicon, state)
        board = probe(FakeTree(self.silicon.kernel)).board
        self.board = replace(
            board,
            units=tuple(
                replace(
                    unit,
                    static_w=tuple(STATIC_W[unit.name](mhz) for mhz in unit.mhz),
                    dynamic_w=tuple(DYNAMIC_W[unit.name](mhz) for mhz in unit.mhz),
                )
                for unit in board.units
            ),
        )
        self.loads: list[Network] = []
        self.during: Callable[[], None] = lambda: None

    def load(self, work: Work) -> Network:
        load = Network(self.silicon, work)
        load.before_start = self.during
        self.loads.append(load)
        return load

    def powers(self, *works: Work, board: Board | None = None, bench: Bench | None = None) -> list[CorePower | str]:
        board = board or self.board
        with at_top_clocks(board, self.bench.machine) as top:
            found = network_powers(board, works, bench or self.bench, top, self.load)
        assert all(load.closed for load in self.loads)
        return [found[work] for work in works]
