"""Powers that were measured on a board become activities there, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from actors import stored_powers
from actors.board_commands.network_power import CorePower, Work
from actors.profiling import Ladder
from actors.stored_powers import store_powers, with_measured_activity
from helpers.tiny_networks import board, ladder, profile
from scheduler.board import Board

BOARD = board(dvfs="fixed")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GEARSHIFT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "powers"


@pytest.fixture
def tiny(tmp_path: Path) -> Ladder:
    return [(artifact, None, "unknown") for artifact in ladder(tmp_path).values()]


def work(subnet: str = "small", engine: str = "auto") -> Work:
    return Work(subnet=subnet, kind="cpu", unit="big", cores=1, engine=engine, run_ms=10.0)


def power(core_w: float = 1.6) -> CorePower:
    return CorePower(mhz=1000.0, core_w=core_w, error_w=0.02)


def activities(ladder: Ladder, board: Board = BOARD) -> dict[tuple[str, int], tuple[float, str, float | None]]:
    found = with_measured_activity(profile(), ladder, board)
    return {
        (rung.subnet, time.cores): (time.activity, time.activity_source, time.activity_error)
        for rung in found.rungs
        for time in rung.times
    }


ASSUMED = (1.0, "assumed", None)


def test_a_measured_power_over_that_of_the_board_is_an_activity_and_the_rest_is_assumed(tiny: Ladder) -> None:
    store_powers("tiny", tiny, BOARD, {work(): power(), work("large"): "the sensor is too slow"})
    found = activities(tiny)
    assert found.pop(("small", 1)) == (0.8, "measured", 0.01)  # of 2 W at 1000 MHz
    assert set(found.values()) == {ASSUMED}


def test_what_a_calibration_has_found_since_counts(tiny: Ladder) -> None:
    store_powers("tiny", tiny, BOARD, {work(): power()})
    units = tuple(replace(unit, dynamic_w=(0.5, 1.6)) for unit in BOARD.units)
    assert activities(tiny, replace(BOARD, units=units))["small", 1] == (1.0, "measured", pytest.approx(0.0125))


def test_what_is_not_of_this_board_network_or_engine_is_not_used(tiny: Ladder) -> None:
    store_powers("tiny", tiny, BOARD, {work(): power(), work("large", engine="another"): power()})
    units = BOARD.units
    other = [(replace(artifact, weights_hash="other"), *rest) for artifact, *rest in tiny]
    for found in (
        activities(tiny, replace(BOARD, name="another")),
        activities(other),  # type: ignore[arg-type]
        activities(tiny, replace(BOARD, units=(replace(units[0], cpus=(5,)), *units[1:]))),
        activities(tiny, replace(BOARD, units=tuple(replace(unit, mhz=(500.0, 900.0)) for unit in units))),
        activities(tiny, replace(BOARD, units=tuple(replace(unit, dynamic_w=None) for unit in units))),
        activities(tiny, replace(BOARD, units=tuple(replace(unit, dynamic_w=(0.0, 0.0)) for unit in units))),
    ):
        assert set(found.values()) == {ASSUMED}
    assert activities(tiny)["large", 1] == ASSUMED


def test_what_can_no_longer_be_measured_is_forgotten(tiny: Ladder, cache: Path) -> None:
    store_powers("tiny", tiny, BOARD, {work(): power()})
    store_powers("tiny", tiny, BOARD, {work(): "no rail covers unit 'big'"})
    assert set(activities(tiny).values()) == {ASSUMED}
    assert list(cache.iterdir()) == []
    store_powers("tiny", tiny, BOARD, {})


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b'{"schema_version": 99, "powers": []}', b'{"powers": [1]}'])
def test_a_file_that_cannot_be_used_counts_as_none(content: bytes, tiny: Ladder, cache: Path) -> None:
    store_powers("tiny", tiny, BOARD, {work(): power()})
    (path,) = cache.iterdir()
    path.write_bytes(content)
    assert stored_powers._read(path) == []
    assert set(activities(tiny).values()) == {ASSUMED}
