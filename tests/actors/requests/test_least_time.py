"""No request of a size is served faster than in the least time, and nothing is foretold where sizes do not matter."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.requests.least_time import least_service_s
from helpers.sized import sized_time
from helpers.tiny_networks import board, profile

UNIT = board(speed=0.5).unit("big")


def test_it_is_the_fastest_of_its_size_at_the_top_clock():
    time = sized_time(10.0, 2.0, [1.0, 30.0], residuals=(0.9, 1.0, 1.1))
    assert least_service_s(time, replace(UNIT, speed=1.0), 20.0) == pytest.approx(0.045)
    assert least_service_s(time, UNIT, 20.0) == pytest.approx(0.090)


def test_nothing_is_foretold_where_the_time_does_not_depend_on_the_size():
    assert least_service_s(profile().service("large", "cpu", 1), UNIT, 20.0) == 0.0


@given(
    base_ms=st.floats(0, 50),
    per_size_ms=st.floats(0.01, 20),
    size=st.floats(0.1, 200),
    residuals=st.lists(st.floats(0.3, 3), min_size=1, max_size=9).map(sorted),
    memory_share=st.floats(0, 1),
    own_share=st.none() | st.floats(0, 1),
)
def test_no_time_of_that_size_is_less_at_any_clock(base_ms, per_size_ms, size, residuals, memory_share, own_share):
    time = replace(sized_time(base_ms, per_size_ms, [1.0, 3.0], residuals), memory_share=own_share)
    unit = replace(UNIT, memory_share=memory_share)
    least_s = least_service_s(time, unit, size)
    for mhz in unit.mhz:
        assert all(least_s <= ms / unit.pace(mhz, own_share) / 1000 * (1 + 1e-12) for ms in time.samples_at_ms(size))
