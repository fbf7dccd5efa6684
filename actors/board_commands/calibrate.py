"""Calibration: a board's clocks and loads are tried one after another, and what its cores do and take is recorded.

The board is held meanwhile, and given back whatever ends it. What the records say is found elsewhere
(`actors.board_commands.calibration_fit`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from actors.agent.devices import open_clock
from actors.agent.devices.hand_back import HandedBack
from actors.agent.devices.hotplug import UnitSwitch
from actors.agent.devices.journal import Journal
from actors.agent.devices.real import RealClock
from actors.agent.devices.sysfs import DeviceError, Tree
from actors.agent.devices.thermal import Thermometer
from actors.agent.hold import Hold, real_units
from actors.agent.sensors import RailTotals, sensors_of
from actors.board_commands.bench import SETTLE_S, Account, Bench, Meters, why_held
from actors.board_commands.calibration_plan import Point, Record, plan
from actors.board_commands.clock_changes import ClockChanges, clock_changes
from actors.board_commands.load import Load
from actors.board_commands.switching_off import SwitchedOff, switch_off
from scheduler.board import Board, BoardUnit
from scheduler.errors import InputError

_WARMER_C = 5.0
"""A unit that is warmer than at first by more than this cools down before its next point: leakage rises with heat."""
_COOL_AT_MOST_S = 20.0
_COOL_STEP_S = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """What a calibration has recorded.

    Attributes:
        records: a record for each point that was measured as planned.
        held: points whose clock the kernel did not grant, each with the reason in words.
        unread: by rail, why it could not be read, for rails that gave nothing at some point.
        changes: by unit with a real clock, how long it takes to change that; None where the kernel shows no change.
        switched: by unit that may be switched off, what came of that, or in words why it did not work.
        recovered: what came of giving back what a dead run had left.
        handed_back: what came of giving the board back.
    """

    records: tuple[Record, ...]
    held: Mapping[Point, str]
    unread: Mapping[str, str]
    changes: Mapping[str, ClockChanges | None]
    switched: Mapping[str, SwitchedOff | str]
    recovered: HandedBack
    handed_back: HandedBack


def with_named_rails(board: Board, tree: Tree) -> Board:
    """Return a board with the rails that the shorthand `power.sensor` means, each by its name.

    Args:
        board: the board.
        tree: the machine's files.
    """
    if board.sensors:
        return board
    return replace(board, sensor="none", sensors=sensors_of(board, tree))


def points_of(board: Board) -> list[Point]:
    """Return the points of a board's calibration.

    Raises:
        InputError: if the board has no CPU unit that could be measured.
    """
    emulated = [unit.name for unit in board.units if unit.emulated]
    if emulated:
        raise InputError(
            f"board {board.name!r}: the clock of unit {emulated[0]!r} is emulated, so there is nothing of it to "
            f"measure. Name a board of this machine, such as host."
        )
    units = [unit for unit in board.units if unit.kind == "cpu"]
    if not units:
        raise InputError(f"board {board.name!r} has no CPU unit; a GPU is not calibrated.")
    covered = {name for sensor in board.sensors if sensor.covers != "board" for name in sensor.covers}
    return plan(units, sorted(covered))


def calibrate(
    board: Board,
    bench: Bench,
    *,
    seconds: float,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Calibration:
    """Measure a board.

    Args:
        board: the board; the caller has checked that the machine is that board.
        bench: what to work with.
        seconds: time of each measurement.
        on_progress: called with the number of points that are done, and of all.

    Raises:
        InputError: if there is nothing to measure.
        DeviceError: if a clock can't be set, or another run has the board.
    """
    points = points_of(board)
    hold = Hold(bench.machine)
    try:
        measured = _measured(board, points, bench, hold, seconds, on_progress)
    finally:
        handed_back = hold.give_back()
    return Calibration(
        records=tuple(measured.records),
        held=measured.held,
        unread=measured.unread,
        changes=measured.changes,
        switched=measured.switched,
        recovered=hold.recovered,
        handed_back=handed_back,
    )


def _measured(
    board: Board,
    points: Sequence[Point],
    bench: Bench,
    hold: Hold,
    seconds: float,
    on_progress: Callable[[int, int], None],
) -> _Table:
    account = Account(board, bench.clock)
    knobs = {unit.name: open_clock(board, unit, hold.journal) for unit in real_units(board)}
    load = bench.load([cpu for unit in board.units for cpu in unit.cpus])
    try:
        meters = bench.meters(board, account.readings)
        try:
            meters.start()
            table = _Table(board, bench, knobs, load, meters, account)
            for done, point in enumerate(points):
                on_progress(done, len(points))
                table.measure(point, seconds)
            for unit in board.units:
                if unit.kind == "cpu" and unit.name in knobs and len(unit.mhz) > 1:
                    table.change_clock(unit)
            # The load ends first: its processes are pinned to CPUs that are to go.
            load.close()
            for unit in board.units:
                if unit.may_switch_off:
                    table.switch_off(unit, hold.journal, seconds)
            on_progress(len(points), len(points))
            return table
        finally:
            meters.close()
    finally:
        load.close()


class _Table:
    """The table that a board is measured on."""

    def __init__(
        self,
        board: Board,
        bench: Bench,
        knobs: Mapping[str, RealClock],
        load: Load,
        meters: Meters,
        account: Account,
    ) -> None:
        self.records: list[Record] = []
        self.changes: dict[str, ClockChanges | None] = {}
        self.switched: dict[str, SwitchedOff | str] = {}
        self.held: dict[Point, str] = {}
        self.unread: dict[str, str] = {}
        self._set_to: dict[str, tuple[float, float]] = {}  # by unit, the clock asked for last, and granted
        self._board = board
        self._clock = bench.clock
        self._knobs = knobs
        self._load = load
        self._meters = meters
        self._account = account
        self._thermometer = Thermometer(bench.machine.tree)
        self._first_c = {unit.name: self._temp_c(unit) for unit in board.units}

    def measure(self, point: Point, seconds: float) -> None:
        """Measure at one point, unless the kernel does not grant its clock, or takes it away meanwhile."""
        unit = self._board.unit(point.unit)
        self._rest()
        self._cool(unit)
        granted_mhz = self._set(unit, point.mhz)
        if self._is_held(point, granted_mhz):
            return
        self._account.busy(unit.name, point.busy)
        self._load.start(unit.cpus[: point.busy])
        totals, span_s = self._window(seconds)
        held = self._is_held(point, granted_mhz)
        step_s = self._load.stop()
        self._account.busy(unit.name, 0)
        if held:
            return
        self.records.append(
            Record(
                point=point,
                granted_mhz=granted_mhz,
                step_s=step_s,
                powers_w=self._powers_w(totals, span_s),
                temp_c=self._temp_c(unit),
            )
        )

    def change_clock(self, unit: BoardUnit) -> None:
        """Measure how long a unit takes to change its clock."""
        self._rest()
        self._account.busy(unit.name, unit.cores)
        self._load.start(unit.cpus)
        self.changes[unit.name] = clock_changes(self._knobs[unit.name], unit.mhz[0], unit.mhz[-1], self._clock)
        self._load.stop()
        self._account.busy(unit.name, 0)

    def switch_off(self, unit: BoardUnit, journal: Journal, seconds: float) -> None:
        """Measure what a unit takes while it is off, and how long it takes to go and to come."""

        def come_back() -> None:
            self._set_to.pop(unit.name)
            self._set(unit, unit.mhz[0])

        self._rest()
        try:
            switch = UnitSwitch(unit, journal)
            self.switched[unit.name] = switch_off(
                switch, self._knobs[unit.name], lambda: self._powers_w(*self._window(seconds)), come_back
            )
        except DeviceError as error:
            self.switched[unit.name] = str(error)

    def _rest(self) -> None:
        """Have all units idle at their lowest clocks."""
        for unit in self._board.units:
            self._set(unit, unit.mhz[0])

    def _window(self, seconds: float) -> tuple[tuple[RailTotals, ...], float]:
        """Return the totals of the rails over a while, once all has settled, and how long that was."""
        self._wait(SETTLE_S)
        self._meters.mark()
        begin_s = self._clock.now_s()
        self._wait(seconds)
        totals = self._meters.totals()
        return totals, self._clock.now_s() - begin_s

    def _powers_w(self, totals: Sequence[RailTotals], span_s: float) -> dict[str, float]:
        """Return the mean power of the rails that could be read, and note why the others could not."""
        self.unread |= {rail.name: rail.why_unknown for rail in totals if rail.why_unknown is not None}
        # What a recording says was not measured now, and its joules say nothing of this point.
        return {
            rail.name: rail.joules / span_s for rail in totals if rail.joules is not None and rail.why_unknown is None
        }

    def _is_held(self, point: Point, granted_mhz: float) -> bool:
        """Return True if a unit does not have the clock that it was to have, and note why."""
        why = why_held(self._knobs.get(point.unit), granted_mhz, point.mhz)
        if why is not None:
            self.held[point] = why
        return why is not None

    def _set(self, unit: BoardUnit, mhz: float) -> float:
        """Set a unit's clock, unless it has been set so already; return the one granted."""
        if unit.name not in self._knobs:
            return mhz
        if self._set_to.get(unit.name, (None, 0.0))[0] != mhz:
            granted_mhz = self._knobs[unit.name].set_clock(mhz)
            self._set_to[unit.name] = mhz, granted_mhz
            self._account.clock(unit.name, granted_mhz)
        return self._set_to[unit.name][1]

    def _cool(self, unit: BoardUnit) -> None:
        """Wait until a unit, idle at its lowest clock, is about as cool as at first."""
        first_c = self._first_c[unit.name]
        until_s = self._clock.now_s() + _COOL_AT_MOST_S
        while first_c is not None and self._clock.now_s() < until_s:
            now_c = self._temp_c(unit)
            if now_c is None or now_c <= first_c + _WARMER_C:
                return
            self._wait(_COOL_STEP_S)

    def _temp_c(self, unit: BoardUnit) -> float | None:
        zone = self._thermometer.zone_of(unit)
        return None if zone is None else self._thermometer.temp_c(zone)

    def _wait(self, seconds: float) -> None:
        self._clock.sleep_until(self._clock.now_s() + seconds)
