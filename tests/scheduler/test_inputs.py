"""Changes are told in words; a limited unit has the clocks, cores and pace that its limits leave."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.app_inputs import make_inputs
from helpers.fake_world import BOARD
from scheduler.inputs import AppInputs, Inputs, UnitInputs, changes, limited


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


CAMERA = make_inputs(target_ms=60.0, min_accuracy=0.8)


def inputs(power_cap_w: float | None = None, other_load: float = 0.0, **changed: float) -> Inputs:
    big = UnitInputs(max_mhz=None, cpus_online=(0, 1), other_load=other_load)
    return Inputs(apps={"camera": replace(CAMERA, **changed)}, units={"big": big}, power_cap_w=power_cap_w)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"target_ms": 30.0}, "camera has a target of 30 ms, no longer 60"),
        ({"min_accuracy": 0.7}, "camera has an accuracy floor of 0.7, no longer 0.8"),
        ({"weight": 2.0}, "camera has a weight of 2, no longer 1"),
        ({"slo": 0.999}, "camera wants 99.9 % on time, no longer 95 %"),
        ({"rate_hz": 12.5}, "camera gets 12.5 requests a second, no longer 10"),
        ({"service_ratio": 1.11}, "camera slowed down by 11 % on little"),
        ({"service_ratio": 0.9}, "camera sped up by 10 % on little"),
        ({"margin": 0.1}, "camera was late more often than planned: plans leave it 10 % of spare time, no longer 5 %"),
        ({"margin": 0.0}, "camera has been on time for long: plans leave it 0 % of spare time, no longer 5 %"),
        ({"own_ratio": 0.8}, "camera answers sooner than planned: plans count 80 % of its latency, no longer 100 %"),
        (
            {"wait_ratio": 0.5},
            "camera waits less than planned: plans count 50 % of its waiting for others, no longer 100 %",
        ),
        ({"power_cap_w": 3.0}, "power is capped at 3 W"),
        ({"other_load": 0.4}, "other programs take 40 % of big, no longer 0 %"),
    ],
)
def test_every_change_is_told_in_words_that_a_user_knows(changed, words):
    assert changes(inputs(), inputs(**changed), {"camera": "little"}) == [words]


def test_no_input_of_an_application_changes_in_silence_or_by_its_name_in_the_code():
    for one in (one for one in fields(AppInputs) if one.compare):
        (words,) = changes(inputs(), inputs(**{one.name: 0.5}))
        assert words.startswith("camera ")
        assert "_" not in words


def test_a_cap_that_is_lifted_is_told():
    assert changes(inputs(power_cap_w=3.0), inputs()) == ["power is no longer capped"]


def test_inputs_are_made_of_the_same_only_if_reasons_are_the_same_too() -> None:
    before = inputs()
    again = Inputs(apps=dict(before.apps), units=dict(before.units), power_cap_w=None, slowdowns=before.slowdowns)
    assert again.is_made_of(before)
    told = replace(before.units["big"], capped_by="thermal")
    reasoned = replace(before, units={"big": told})
    assert reasoned == before
    assert not reasoned.is_made_of(before)
    assert not replace(before, power_cap_w=3.0).is_made_of(before)
    assert not replace(before, slowdowns={"big": 1.5}).is_made_of(before)
    assert not replace(before, apps={}).is_made_of(before)
    assert not replace(before, apps={"other": before.apps["camera"]}).is_made_of(before)
