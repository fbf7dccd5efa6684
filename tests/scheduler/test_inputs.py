"""A limited unit has the clocks and cores that its limits leave, and loses pace to the load of others."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.fake_world import BOARD
from scheduler.inputs import UnitInputs, limited


@given(
    share=st.floats(0, 1),
    other_load=st.floats(0, 0.9),
    max_mhz=st.none() | st.floats(100, 3000),
    online=st.sets(st.sampled_from(BOARD.units[0].cpus), min_size=1),
)
def test_limited_unit_is_the_unit_where_it_is_left(share, other_load, max_mhz, online):
    unit = replace(BOARD.units[0], memory_share=share, speed=0.7)
    left = limited(unit, UnitInputs(max_mhz=max_mhz, cpus_online=tuple(sorted(online)), other_load=other_load))
    assert left.cpus == tuple(sorted(online))
    wanted = tuple(mhz for mhz in unit.mhz if max_mhz is None or mhz <= max_mhz) or unit.mhz[:1]
    assert left.mhz == wanted
    assert len(left.static_w) == len(left.dynamic_w) == len(left.mhz)
    for mhz in left.mhz:
        assert left.pace(mhz) == pytest.approx(unit.pace(mhz) * (1 - other_load))
        assert left.pace(mhz, 0.6) == pytest.approx(unit.pace(mhz, 0.6) * (1 - other_load))
