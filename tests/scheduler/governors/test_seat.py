"""The seat of a unit's governor: when a new one comes, and when the old one stays."""

from __future__ import annotations

import pytest

from scheduler.board import Board, BoardUnit
from scheduler.governors import GovernorError, GovernorSeat, Powersave, Schedutil

UNIT = BoardUnit(name="big", kind="cpu", cpus=(0,), dvfs="emulated", mhz=(500.0, 1000.0), static_w=None, dynamic_w=None)
BOARD = Board(name="b", units=(UNIT,), base_w=None, sensor="none", power_source="made up")


def test_a_governor_that_is_named_again_stays():
    seat = GovernorSeat(BOARD, "big")
    assert seat.give("schedutil")
    first = seat.governor
    assert isinstance(first, Schedutil)
    assert not seat.give("schedutil")
    assert seat.governor is first


def test_another_name_or_a_clock_between_brings_a_new_one():
    seat = GovernorSeat(BOARD, "big")
    seat.give("schedutil")
    first = seat.governor
    assert seat.give("powersave")
    assert isinstance(seat.governor, Powersave)
    assert not seat.give(1000.0)
    assert seat.governor is None
    assert seat.give("schedutil")
    assert seat.governor is not first


def test_an_unknown_name_leaves_the_seat_as_it_is():
    seat = GovernorSeat(BOARD, "big")
    seat.give("schedutil")
    first = seat.governor
    with pytest.raises(GovernorError, match="schedutill"):
        seat.give("schedutill")
    assert seat.governor is first
