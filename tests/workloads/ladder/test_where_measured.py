"""A run says which units its networks are measured on, where units differ."""

from __future__ import annotations

from dataclasses import replace

from actors.cluster import packaged_board
from workloads.ladder.profiles import units_to_measure, where_measured


def test_the_fastest_unit_that_has_so_many_cores_is_measured() -> None:
    played = packaged_board("rk3588")
    board = replace(played, units=tuple(replace(unit, dvfs="fixed", mhz=unit.mhz[-1:]) for unit in played.units))
    cpus = [unit for unit in board.units if unit.kind == "cpu"]
    fast = max(cpus, key=lambda unit: unit.speed)
    many = max(cpus, key=lambda unit: unit.cores)
    assert fast.cores < many.cores
    measured = units_to_measure(cpus)
    assert [measured[cores].speed for cores in (1, 2, 3, 4)] == [fast.speed, fast.speed, many.speed, many.speed]
    said = where_measured(board)
    assert said is not None
    assert f"on {measured[1].name} with 1 to 2 cores and on {many.name} with 3 to 4 cores" in said


def test_nothing_is_said_where_units_are_alike_or_emulated() -> None:
    played = packaged_board("rk3588")
    assert where_measured(packaged_board("two-core-host")) is None
    alike = tuple(replace(unit, dvfs="fixed", mhz=unit.mhz[-1:], speed=1.0) for unit in played.units)
    assert where_measured(replace(played, units=alike)) is None
