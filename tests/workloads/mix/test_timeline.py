"""The manager is told the events of a mix, each with all that is in force from then on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.tiny_networks import board
from scheduler import messages
from scheduler.messages import (
    AmbientChanged,
    Event,
    HiddenEvent,
    PowerCapped,
    TargetChanged,
    UnitLimited,
    UnitSlowed,
)
from scheduler.thermal import Thermal
from workloads.mix.app import App
from workloads.mix.arrivals import Periodic
from workloads.mix.errors import MixError
from workloads.mix.events import MixEvent, at
from workloads.mix.mix import Mix
from workloads.mix.timeline import timeline

BOARD = board()
UNITS = [unit.name for unit in BOARD.units]


def app(name: str) -> App:
    return App(name, supernet="ofa-plates", arrivals=Periodic(hz=5), latency_ms=60, min_accuracy=0.7)


def mix(*events: MixEvent) -> Mix:
    return Mix("test", apps=[app("a"), app("b")], events=events, duration_s=100)


def changes(*events: MixEvent) -> list[Any]:
    return [event.change for _, event in timeline(mix(*events), BOARD)]


def test_events_come_in_order_of_time_and_as_given_at_one_time():
    told = timeline(
        mix(at(30, remove="a"), at(10, "a", latency_ms=30), at(10, "b", weight=2), at(20, add=app("c"))), BOARD
    )
    assert [at_s for at_s, _ in told] == [10, 10, 20, 30]
    assert [type(event.change) for _, event in told] == [
        TargetChanged,
        TargetChanged,
        messages.AppJoined,
        messages.AppLeft,
    ]
    assert [event.text for _, event in told] == ["a: latency_ms 30", "b: weight 2", "c joins", "a leaves"]


def test_a_change_of_one_target_carries_the_others():
    told = changes(at(10, "a", latency_ms=30), at(20, "a", min_accuracy=0.8), at(30, "a", weight=2, slo=0.9))
    first = TargetChanged(app="a", target_ms=30, min_accuracy=0.7, weight=1, slo=0.95)
    assert told == [
        first,
        TargetChanged(app="a", target_ms=30, min_accuracy=0.8, weight=1, slo=0.95),
        TargetChanged(app="a", target_ms=30, min_accuracy=0.8, weight=2, slo=0.9),
    ]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(UNITS),
            st.fixed_dictionaries(
                {},
                optional={
                    "max_mhz": st.sampled_from([None, 500.0, 800.0, 1000.0]),
                    "cores": st.sampled_from([None, 0, 1]),
                    "busy": st.floats(0, 1),
                },
            ).filter(bool),
        ),
        max_size=8,
    )
)
def test_a_limit_of_a_unit_carries_the_others_and_none_lifts_one(given_changes):
    events = [at(place, unit=unit, **changed) for place, (unit, changed) in enumerate(given_changes)]
    in_force = {unit: {"max_mhz": None, "cores": None, "busy": 0.0} for unit in UNITS}
    expected = []
    for unit, changed in given_changes:
        if all({**in_force, unit: {**in_force[unit], **changed}}[one]["cores"] == 0 for one in UNITS):
            with pytest.raises(MixError, match=r"cores=0\): then every unit of board 'test' is away"):
                changes(*events)
            return
        in_force[unit] = {**in_force[unit], **changed}
        now = in_force[unit]
        expected.append(
            UnitLimited(
                unit=unit,
                max_mhz=now["max_mhz"],
                cpus_online=BOARD.unit(unit).all_cpus[: now["cores"]],
                other_load=now["busy"],
            )
        )
    assert changes(*events) == expected


def test_a_number_of_cores_means_the_first_cpus_of_the_unit():
    backwards = replace(BOARD.unit("pair"), cpus=(7, 2, 5))
    told = timeline(
        mix(*(at(10 * count, unit="pair", cores=count) for count in (1, 2, 3, 4))), replace(BOARD, units=(backwards,))
    )
    assert [event.change.cpus_online for _, event in told] == [(7,), (2, 7), (2, 5, 7), (2, 5, 7)]


def test_a_power_mode_takes_units_away_and_brings_them_back():
    events = [at(4, unit="pair", cores=0), at(6, unit="pair", max_mhz=800), at(8, unit="pair", cores=None)]
    told = timeline(mix(*events), BOARD)
    assert [event.change.cpus_online for _, event in told] == [(), (), BOARD.unit("pair").all_cpus]
    assert told[0][1].text == "pair: cores 0"


def test_a_power_cap_is_set_and_lifted():
    told = timeline(mix(at(10, power_cap_w=2.5), at(20, power_cap_w=None)), BOARD)
    assert [event.change for _, event in told] == [PowerCapped(power_cap_w=2.5), PowerCapped(power_cap_w=None)]
    assert [event.text for _, event in told] == ["board: power_cap_w 2.5", "board: power_cap_w lifted"]


def test_ambient_heat_is_refused_on_a_board_without_a_thermal_model():
    with pytest.raises(MixError, match=r"at\(5, ambient_c=40.0\): board 'test' has no thermal model"):
        timeline(mix(at(5, ambient_c=40)), BOARD)


def test_ambient_heat_is_told_on_a_board_with_a_thermal_model():
    hot = replace(BOARD.units[0], thermal=Thermal(c_per_w=5, tau_s=10, trip_c=90))
    board = replace(BOARD, units=(hot, *BOARD.units[1:]))
    told = timeline(mix(at(5, ambient_c=40)), board)
    assert told == ((5, messages.Event(change=AmbientChanged(ambient_c=40), text="board: ambient_c 40")),)


def test_heat_and_cap_of_one_event_are_told_one_after_the_other():
    hot = replace(BOARD.units[0], thermal=Thermal(c_per_w=5, tau_s=10, trip_c=90))
    board = replace(BOARD, units=(hot, *BOARD.units[1:]))
    told = timeline(mix(at(5, ambient_c=40, power_cap_w=3)), board)
    assert [event.change for _, event in told] == [AmbientChanged(ambient_c=40), PowerCapped(power_cap_w=3)]


def test_a_slowdown_is_told_to_the_board_alone_and_one_ends_it():
    told = timeline(
        mix(*(at(10 * place, unit="pair", slowdown=slowdown) for place, slowdown in enumerate([1.5, 2, None, 1]))),
        BOARD,
    )
    assert [event.change for _, event in told] == [UnitSlowed(unit="pair", slowdown=one) for one in (1.5, 2, 1, 1)]
    assert all(isinstance(event, HiddenEvent) for _, event in told)
    assert [event.text for _, event in told[:3:2]] == [
        "pair: requests take 1.5 times as long (the manager is not told)",
        "pair: requests take no longer than they should (the manager is not told)",
    ]


def test_of_one_event_the_manager_is_told_all_but_the_slowdown():
    told = timeline(mix(at(5, unit="pair", max_mhz=800, slowdown=2), at(6, unit="pair", busy=0.5)), BOARD)
    limit = UnitLimited(unit="pair", max_mhz=800, cpus_online=BOARD.unit("pair").all_cpus, other_load=0.0)
    assert told == (
        (5, Event(change=limit, text="pair: max_mhz 800")),
        (
            5,
            HiddenEvent(
                change=UnitSlowed(unit="pair", slowdown=2),
                text="pair: requests take 2 times as long (the manager is not told)",
            ),
        ),
        (6, Event(change=replace(limit, other_load=0.5), text="pair: busy 0.5")),
    )


def test_a_unit_of_a_fixed_clock_can_be_slowed_down():
    still = board(dvfs="fixed")
    (_, event), *_ = timeline(mix(at(5, unit="pair", slowdown=2)), still)
    assert event.change == UnitSlowed(unit="pair", slowdown=2)
