"""The power of a network on a unit: what each core that runs it takes more than one that is idle, from the unit's rail.

The network runs back to back at the unit's clock, in turns with idle time of the same length; the difference of the two
is what it takes, whatever else is behind the rail. So it needs no figure of the board's. What heat adds to a unit's
leakage while the network runs is in it.

A figure is told from at least four pairs of windows. A window lasts for 20 conversions of the sensor, 10 runs of the
network and half a second at least. The standard error has the spread of the pairs, and the steps of the sensor: a
reading that does not move between two steps is off by up to half of one, step / sqrt(12) in the mean square.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, variance

from actors.agent.hold import TopClocks
from actors.agent.sensors import RailTotals, sensors_of
from actors.board_commands.bench import SETTLE_S, Account, Bench, Meters, why_held
from actors.board_commands.load import Load
from scheduler.board import SAME_CLOCK, Board, BoardUnit

_LEAST_PAIRS = 4
_MOST_PAIRS = 8
_LEAST_WINDOW_S = 0.5
_CONVERSIONS = 20
_RUNS = 10
_LEAST_READINGS = 10
_MOST_WINDOW_S = 10.0
"""A sensor whose 20 conversions take longer is too slow: a ladder would take hours."""
_LOOK_S = 1.5
"""Time in which the sensors' own periods are found (`actors.agent.sensors.chip.PROBE_S`, and a little more)."""

MOST_ERROR = 0.05
"""Largest standard error of a figure that counts as measured, as a share of it."""
_MOST_OTHERS = 0.05
"""Most that other programs may use meanwhile, as a share of the network's cores: the error of `MOST_ERROR` again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """A network on cores of a unit.

    Attributes:
        subnet: the sub-network.
        kind: `cpu` or `gpu`.
        unit: name of the unit.
        cores: number of its cores; 1 on a GPU.
        engine: the execution engine.
        run_ms: time of one inference there.
    """

    subnet: str
    kind: str
    unit: str
    cores: int
    engine: str
    run_ms: float


@dataclass(frozen=True, kw_only=True, slots=True)
class CorePower:
    """The power of a network on a unit.

    Attributes:
        mhz: the clock of the unit that it was measured at, one of the board's.
        core_w: what each core that runs it takes more than an idle one.
        error_w: standard error of that.
    """

    mhz: float
    core_w: float
    error_w: float


def network_powers(
    board: Board,
    works: Sequence[Work],
    bench: Bench,
    top: TopClocks,
    load: Callable[[Work], Load],
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[Work, CorePower | str]:
    """Measure the power of networks, one after another.

    Args:
        board: the board.
        works: the networks, each on its unit.
        bench: what to measure with.
        top: the clocks, which are held.
        load: makes the load of a network, which `Load.start` runs back to back on the CPUs given.
        on_progress: called with the number of networks that are done, and of all.

    Returns:
        By network its power, or in words why it is not known.

    Raises:
        DeviceError: if a knob says something that it should not.
    """
    covered = {
        name for sensor in sensors_of(board, bench.machine.tree) if sensor.covers != "board" for name in sensor.covers
    }
    found: dict[Work, CorePower | str] = {}
    for work in works:
        why = _why_not(board.unit(work.unit), top, covered)
        if why is not None:
            found[work] = why
    left = [work for work in works if work not in found]
    if left:
        account = Account(board, bench.clock)
        for unit, mhz in top.mhz.items():
            account.clock(unit, mhz)
        meters = bench.meters(board, account.readings)
        try:
            table = _Table(board, bench, top, meters, account)
            for done, work in enumerate(left):
                on_progress(done, len(left))
                found[work] = table.measure(work, load)
            on_progress(len(left), len(left))
        finally:
            meters.close()
    return found


def _why_not(unit: BoardUnit, top: TopClocks, covered: set[str]) -> str | None:
    """Return why nothing can be measured on a unit, in words; None if it can."""
    if unit.emulated:
        return f"the clock of unit {unit.name!r} is emulated"
    if unit.name not in covered:
        return f"no rail covers unit {unit.name!r}"
    if unit.dynamic_w is None:
        return f"the board has no dynamic_w of unit {unit.name!r} (gearshift calibrate finds it)"
    mhz = top.mhz.get(unit.name, unit.mhz[-1])
    if abs(unit.nearest(mhz) - mhz) > SAME_CLOCK * mhz:
        return f"unit {unit.name!r} is granted {mhz:g} MHz, which is not one of its clocks"
    return None


class _UntoldError(Exception):
    """The power of a network can't be told; the message says why."""


class _Table:
    """The table that networks are measured on."""

    def __init__(self, board: Board, bench: Bench, top: TopClocks, meters: Meters, account: Account) -> None:
        self._board = board
        self._bench = bench
        self._top = top
        self._meters = meters
        self._account = account
        meters.start()
        meters.mark()
        self._wait(_LOOK_S)
        self._rail_of = {unit: rail for rail in meters.totals() if rail.covers != "board" for unit in rail.covers}

    def measure(self, work: Work, load: Callable[[Work], Load]) -> CorePower | str:
        """Return the power of a network, or in words why it is not known."""
        unit, rail = self._board.unit(work.unit), self._rail_of[work.unit]
        granted_mhz = self._top.mhz.get(unit.name, unit.mhz[-1])
        try:
            window_s, settle_s = _times_s(work, rail)
            running = load(work)
            try:
                core_w, error_w = self._core_w(
                    rail.name, work, lambda: self._pair(work, running, window_s, settle_s, granted_mhz)
                )
            finally:
                running.close()
        except _UntoldError as untold:
            return str(untold)
        return CorePower(mhz=unit.nearest(granted_mhz), core_w=core_w, error_w=error_w)

    def _core_w(self, rail: str, work: Work, pair: Callable[[], tuple[float, float]]) -> tuple[float, float]:
        """Return what each core takes, from as many pairs as that needs, and its standard error."""
        differences_w: list[float] = []
        core_w, error_w = 0.0, math.inf
        while len(differences_w) < _LEAST_PAIRS or (len(differences_w) < _MOST_PAIRS and error_w > MOST_ERROR * core_w):
            difference_w, step_w = pair()
            differences_w.append(difference_w / work.cores)
            core_w, error_w = fmean(differences_w), _error_w(differences_w, step_w / work.cores)
        if core_w <= 0 or error_w > MOST_ERROR * core_w:
            raise _UntoldError(f"rail {rail} shows {core_w:.3f} ± {error_w:.3f} W a core, which is too vague")
        return core_w, error_w

    def _pair(
        self, work: Work, running: Load, window_s: float, settle_s: float, granted_mhz: float
    ) -> tuple[float, float]:
        """Return what the unit takes more while the network runs than just before, and the least step of its rail."""
        unit = self._board.unit(work.unit)
        self._bench.others()
        idle_w, _ = self._window(work, window_s, settle_s)
        running.start(unit.cpus[: work.cores])
        self._account.busy(unit.name, work.cores)
        try:
            busy_w, step_w = self._window(work, window_s, settle_s)
            held = why_held(self._top.knobs.get(unit.name), granted_mhz, granted_mhz)
        finally:
            running.stop()
            self._account.busy(unit.name, 0)
        if held is not None:
            raise _UntoldError(f"unit {unit.name!r} did not keep its clock ({held})")
        # A GPU's executor is a program of ours that nobody has told the bench of.
        others = self._bench.others() if work.kind == "cpu" else 0.0
        if others > _MOST_OTHERS * work.cores:
            raise _UntoldError(f"other programs kept {others:.2f} CPUs busy meanwhile")
        return busy_w - idle_w, step_w

    def _window(self, work: Work, window_s: float, settle_s: float) -> tuple[float, float]:
        """Return the mean power of the network's rail over a window, and the rail's least step, in W."""
        self._wait(settle_s)
        self._meters.mark()
        begin_s = self._bench.clock.now_s()
        self._wait(window_s)
        name = self._rail_of[work.unit].name
        totals = next(rail for rail in self._meters.totals() if rail.name == name)
        span_s = self._bench.clock.now_s() - begin_s
        if totals.joules is None or totals.why_unknown is not None:
            raise _UntoldError(f"rail {name}: {totals.why_unknown}")
        if totals.samples < _LEAST_READINGS:
            raise _UntoldError(f"rail {name} was read only {totals.samples} times in {span_s:.1f} s")
        return totals.joules / span_s, totals.step_w

    def _wait(self, seconds: float) -> None:
        self._bench.clock.sleep_until(self._bench.clock.now_s() + seconds)


def _times_s(work: Work, rail: RailTotals) -> tuple[float, float]:
    """Return how long a window of a network lasts, and how long it takes to settle before.

    Raises:
        _UntoldError: if the rail can't be read, or its sensor is too slow.
    """
    if rail.why_unknown is not None:
        raise _UntoldError(f"rail {rail.name}: {rail.why_unknown}")
    window_s = max(_LEAST_WINDOW_S, _CONVERSIONS * rail.sensor_period_s, _RUNS * work.run_ms / 1000)
    if window_s > _MOST_WINDOW_S:
        raise _UntoldError(
            f"rail {rail.name}: {_CONVERSIONS} conversions of its sensor and {_RUNS} runs take {window_s:.1f} s, "
            f"more than {_MOST_WINDOW_S:g}"
        )
    return window_s, max(SETTLE_S, 2 * rail.sensor_period_s)


def _error_w(differences_w: Sequence[float], step_w: float) -> float:
    """Return the standard error of a mean of differences between two means of readings that have steps."""
    spread = variance(differences_w) / len(differences_w) if len(differences_w) > 1 else math.inf
    return math.sqrt(spread + 2 * step_w**2 / 12)
