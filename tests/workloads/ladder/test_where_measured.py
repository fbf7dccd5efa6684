"""A run says which units its networks are measured on, where units differ."""

from __future__ import annotations

from dataclasses import replace

import pytest

from actors.cluster import packaged_board
from actors.network_times import Examples
from helpers.sized import by_size
from helpers.tiny_networks import SCALES, board, profile
from scheduler.profile import Profile
from supernets.artifact import Artifact
from workloads.ladder.profiles import profile_board, units_to_measure, where_measured


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


def test_a_board_s_profile_has_the_sizes_and_warnings_of_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    sized = replace(by_size(profile(), (1.0, 3.0)), warnings=("small: doubtful",))
    asked = []

    def measure(*_: object, examples: Examples, **__: object) -> Profile:
        asked.append(examples)
        return sized

    monkeypatch.setattr("workloads.ladder.profiles.profile_ladder", measure)
    ladder = [(Artifact(subnet=subnet, path="", input_shape=(1,), weights_hash=""), None, "") for subnet in SCALES]
    examples = Examples(sizes=(1.0, 3.0))
    whole = profile_board("tiny", ladder, board(), lambda *_: None, examples=examples)
    assert asked == [examples]
    assert (whole.sizes, whole.warnings) == (sized.sizes, sized.warnings)
    assert whole.rungs[0].times[0].samples_at_ms(2.0) == sized.rungs[0].times[0].samples_at_ms(2.0)
