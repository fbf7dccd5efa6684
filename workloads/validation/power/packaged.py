"""The tables of measured power that come with gearshift, by board.

Most are files in `tables/`. Rows that figures of a board were made from are read where those are (`actors/boards/`), so
that each figure stands in one place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from statistics import median

from actors.cluster import packaged_board
from actors.measured_tables import measured_rows
from actors.odroid_power import CLUSTER_OF, one_core
from actors.wall_power import LADDERS, SYSTEMS
from scheduler.errors import did_you_mean
from workloads.validation.power.jetsons import agx_lines, tx2_lines, xavier_lines
from workloads.validation.power.table import Line, PowerTableError, read_table

ALL = "all"
"""The name under which all packaged tables are asked for."""

_TABLES = Path(__file__).parent / "tables"


def lines_of(named: str) -> list[Line]:
    """Return the lines of a table: of a CSV file, of the packaged tables of a board, or of all packaged tables.

    Args:
        named: path of a file, name of a board, or `all`.

    Raises:
        PowerTableError: if there is no such file or table, or the file's shape is wrong.
    """
    if Path(named).suffix or Path(named).exists():
        return read_table(Path(named))
    boards = packaged_boards()
    if named != ALL and named not in boards:
        raise PowerTableError(
            f"--power {named!r}: there is no such file and no packaged table.{did_you_mean(named, boards)} Give a CSV "
            f"file, {ALL}, or one of {', '.join(boards)}."
        )
    return [line for board in (boards if named == ALL else [named]) for line in _packaged(board)]


def packaged_boards() -> list[str]:
    """Return the boards that packaged tables are of."""
    return sorted({path.stem for path in _TABLES.glob("*.csv")} | set(_FROM_BOARDS))


def _packaged(board: str) -> Iterator[Line]:
    path = _TABLES / f"{board}.csv"
    if path.exists():
        yield from read_table(path)
    if board in _FROM_BOARDS:
        yield from _FROM_BOARDS[board]()


# ---------------------------------------------------------------- rows from the figures of a board


def _odroid() -> Iterator[Line]:
    yield from _odroid_one_core()
    yield from _odroid_all_cores()
    yield from _odroid_other_chip()


def _odroid_one_core() -> Iterator[Line]:
    """Yield the table that the board's figures are the medians of: idle, and each workload on one core."""
    board = packaged_board("odroid-xu3")
    for unit in board.units:
        table = one_core(CLUSTER_OF[unit.name])
        for place, mhz in enumerate(table.mhz):
            if mhz not in unit.mhz:
                continue
            idle_w = table.idle_w[place]
            powers_w = {"idle": idle_w} | {name: idle_w + own[place] for name, own in table.above_idle_w.items()}
            for name, power_w in powers_w.items():
                yield _odroid_line(
                    "odroid_xu3_one_core_power.csv",
                    rail=unit.name,
                    mhz=str(mhz),
                    busy="0" if name == "idle" else "1",
                    power_w=f"{power_w:.4f}",
                    role="fitted",
                    source="one core, 13 workloads",
                    note=name,
                )


def _odroid_all_cores() -> Iterator[Line]:
    """Yield the table of fully loaded clusters, without the clock at which the board was throttling."""
    units = {CLUSTER_OF[unit.name]: unit for unit in packaged_board("odroid-xu3").units}
    for row in measured_rows("odroid_xu3_power.csv"):
        if "throttling" in row["temperature_c"]:
            continue
        busy = "4" if row["cluster"] == "a15" else "1"
        yield _odroid_line(
            "odroid_xu3_power.csv",
            rail=units[row["cluster"]].name,
            mhz=row["mhz"],
            busy=busy,
            power_w=row["power_w"],
            role="held-out",
            source="fully loaded, cores inferred",
            note=f"that {busy} of its cores were busy is inferred",
        )


def _odroid_other_chip() -> Iterator[Line]:
    for row in measured_rows("odroid_xu3_other_chip.csv"):
        yield _odroid_line(
            "odroid_xu3_other_chip.csv",
            rail="big",
            mhz=row["mhz"],
            busy=row["busy_cores"],
            power_w=row["power_w"],
            role="held-out",
            source="another, hotter chip",
            note=f"median of {row['samples']} samples, {row['hottest_c']} °C",
        )


def _odroid_line(file: str, **cells: str) -> Line:
    return Line(where=file, cells={"board": "odroid-xu3", **cells})


def _at_the_wall(name: str) -> Iterator[Line]:
    """Yield each network on a board by its power at the wall, and for each system the median power before its runs.

    No figure was made from systems whose busy cores are spread over clusters; their networks count as in the ladder of
    another engine on that board.
    """
    board = packaged_board(name)
    own = {system: ladder for ladder, system in LADDERS.items()}
    other = next(ladder for ladder, system in LADDERS.items() if SYSTEMS[system].board == name)
    for system in SYSTEMS.values():
        if system.board != name:
            continue
        if system.cores is None:
            busy, role = {unit.name: str(unit.cores) for unit in board.units}, "held-out"
        else:
            busy, role = {board.units[0].name: str(system.cores)}, "fitted"
        common = {"board": name, "rail": "board", "mhz": "max", "role": role, "source": system.engine}
        loaded = {f"busy:{unit}": cores for unit, cores in busy.items()}
        where = "mlperf_ladders_power.csv"
        idle_w = median(run.idle_w for run in system.runs)
        yield Line(where=where, cells=common | {"power_w": f"{idle_w:.3f}", "note": "median before the runs"})
        for run in system.runs:
            network = f"{own.get(system.name, other)}/{run.network}"
            yield Line(where=where, cells=common | loaded | {"power_w": f"{run.wall_w:.3f}", "network": network})


def _raspberry_pi_4() -> Iterator[Line]:
    yield from _at_the_wall("raspberry-pi-4")
    yield from _other_raspberry_pi_4()


def _other_raspberry_pi_4() -> Iterator[Line]:
    """Yield another board, idle and with each task on one core.

    How power goes with the clock was made from these rows; how much it is, was not.
    """
    for row in measured_rows("raspberry_pi_4_one_core_power.csv"):
        mhz, idle_w = row["mhz"], float(row["idle_w"])
        tasks_w = {column: float(watts) for column, watts in row.items() if column not in ("mhz", "idle_w")}
        for name, above_w in ({"idle": 0.0} | tasks_w).items():
            yield Line(
                where="raspberry_pi_4_one_core_power.csv",
                cells={
                    "board": "raspberry-pi-4",
                    "rail": "board",
                    "mhz": mhz,
                    "busy": "0" if name == "idle" else "1",
                    "power_w": f"{idle_w + above_w:.4f}",
                    "role": "held-out",
                    "source": "another board, one core",
                    "note": name,
                },
            )


_FROM_BOARDS: Mapping[str, Callable[[], Iterator[Line]]] = {
    "odroid-xu3": _odroid,
    "odroid-n2": partial(_at_the_wall, "odroid-n2"),
    "raspberry-pi-4": _raspberry_pi_4,
    "jetson-agx-xavier": agx_lines,
    "jetson-xavier-nx": xavier_lines,
    "jetson-tx2": tx2_lines,
}
