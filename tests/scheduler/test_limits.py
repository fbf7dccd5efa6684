"""Limits that the mix asks for and limits that the board shows do not erase each other; the stricter one holds."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.fake_world import BOARD
from scheduler.inputs import UnitInputs, unit_changes
from scheduler.limits import UNKNOWN_CAUSE, UnitLimits
from scheduler.messages import UnitLimited, UnitTelemetry

BIG = BOARD.unit("big")  # CPUs 0 and 1; 500, 1000 and 2000 MHz
NONE = UnitLimits.none(BIG)


def asked(max_mhz: float | None = None, cpus: tuple[int, ...] = BIG.cpus) -> UnitLimited:
    return UnitLimited(unit="big", max_mhz=max_mhz, cpus_online=cpus, other_load=0.0)


def report(max_mhz: float | None = None, cpus: tuple[int, ...] | None = None, by: str | None = None) -> UnitTelemetry:
    return UnitTelemetry(
        name="big",
        mhz_now=500.0,
        busy=0.0,
        temp_c=None,
        max_mhz=max_mhz,
        cpus_online=cpus,
        held_by=by,
        offline_by=by,
    )


def seen(*reports: UnitTelemetry, before: UnitLimits = NONE) -> UnitLimits:
    for one in reports:
        before = before.see(one)
    return before


CAPS = st.none() | st.sampled_from(BIG.mhz)
SETS = st.sets(st.sampled_from(BIG.cpus)).map(lambda cpus: tuple(sorted(cpus)))
CHANGES = st.lists(st.builds(asked, CAPS, SETS) | st.builds(report, CAPS, st.none() | SETS), max_size=12)


def strictest(*caps: float | None) -> float | None:
    known = [cap for cap in caps if cap is not None and cap < 2000]
    return min(known, default=None)


@given(CHANGES)
def test_in_any_order_the_strictest_of_what_was_asked_and_of_the_last_two_reports_holds(changes):
    limits, last_asked, reports = NONE, asked(), [report(), report()]
    for change in changes:
        if isinstance(change, UnitLimited):
            limits, last_asked = limits.ask(change), change
        else:
            limits = limits.see(change)
            reports.append(change)
        in_force = limits.in_force
        counted = reports[-2:]
        caps = [last_asked.max_mhz, *(one.max_mhz for one in counted)]
        assert strictest(in_force.max_mhz) == strictest(*caps)
        left = [set(last_asked.cpus_online), *(set(one.cpus_online) for one in counted if one.cpus_online is not None)]
        assert in_force.cpus_online == tuple(sorted(set.intersection(*left)))


@given(st.permutations(["ask", "see", "see again"]), CAPS, CAPS, SETS, SETS)
def test_the_order_of_asking_and_seeing_does_not_matter(order, cap_asked, cap_seen, cpus_asked, cpus_seen):
    def applied(steps):
        limits = NONE
        for step in steps:
            limits = (
                limits.ask(asked(cap_asked, cpus_asked)) if step == "ask" else limits.see(report(cap_seen, cpus_seen))
            )
        return limits.in_force

    assert applied(order) == applied(["see", "see again", "ask"])


def test_lifting_one_leaves_the_other():
    both = seen(report(500.0, (1,)), report(500.0, (1,))).ask(asked(1000.0, (0,)))
    assert (both.in_force.max_mhz, both.in_force.cpus_online) == (500.0, ())
    cool = seen(report(), report(), before=both).in_force
    assert (cool.max_mhz, cool.cpus_online, cool.capped_by) == (1000.0, (0,), None)
    lifted = both.ask(asked()).in_force
    assert (lifted.max_mhz, lifted.cpus_online, lifted.capped_by) == (500.0, (1,), UNKNOWN_CAUSE)


def test_a_lowered_cap_counts_at_once_and_a_raised_one_with_the_second_report():
    steps = [(1000.0, 1000.0), (None, 1000.0), (1000.0, 1000.0), (None, 1000.0), (None, None), (500.0, 500.0)]
    limits = NONE
    for cap_mhz, in_force_mhz in steps:
        limits = limits.see(report(cap_mhz))
        assert limits.in_force.max_mhz == in_force_mhz


def test_a_lost_cpu_counts_at_once_and_one_that_is_back_with_the_second_report():
    limits = NONE
    for online, in_force in [((0,), (0,)), ((0, 1), (0,)), ((0, 1), (0, 1)), ((), ()), (None, ()), (None, (0, 1))]:
        limits = limits.see(report(cpus=online))
        assert limits.in_force.cpus_online == in_force


@pytest.mark.parametrize(
    ("cap_mhz", "in_force_mhz"),
    [(999.998, 1000.0), (1010.0, 1000.0), (1200.0, 1000.0), (900.0, 500.0), (1.0, 500.0), (1999.5, None), (9e9, None)],
)
def test_a_cap_off_the_table_counts_as_the_clock_that_it_leaves(cap_mhz, in_force_mhz):
    assert seen(report(cap_mhz)).in_force.max_mhz == in_force_mhz


def test_cpus_of_other_units_are_none_of_its_own():
    assert seen(report(cpus=(1, 2, 3))).in_force.cpus_online == (1,)


def test_another_temperature_alone_is_no_reason_to_decide_again():
    warm, hot = (seen(report(1000.0, (1,), by=f"thermal {temp_c} °C")).in_force for temp_c in (90, 91))
    assert warm == hot
    assert (warm.capped_by, hot.taken_by) == ("thermal 90 °C", {0: "thermal 91 °C"})
    assert unit_changes("big", warm, hot) == []


def words(before: UnitLimits, after: UnitLimits) -> list[str]:
    return unit_changes("big", before.in_force, after.in_force)


def test_the_words_say_whose_limit_it_is():
    heat = seen(report(1000.0, by="thermal CPU-therm 91 °C"))
    mode = seen(report(500.0, (0,), by="nvpmodel MODE_10W_2CORE"))
    away = seen(report(cpus=(), by="nvpmodel OFF"))
    assert words(NONE, heat) == ["big held at 1000 MHz by thermal CPU-therm 91 °C"]
    assert words(NONE, mode) == [
        "big held at 500 MHz by nvpmodel MODE_10W_2CORE",
        "CPU 1 of big went offline (nvpmodel MODE_10W_2CORE)",
    ]
    assert words(mode, NONE) == ["big no longer held at 500 MHz", "CPU 1 of big came online"]
    assert words(NONE, away) == ["big went away (nvpmodel OFF)"]
    assert words(away, NONE) == ["big came back"]
    assert words(NONE, seen(report(1000.0))) == ["big held at 1000 MHz by an unknown cause"]
    assert words(NONE, NONE.ask(asked(1000.0, (0,)))) == [
        "big held at 1000 MHz by the mix",
        "CPU 1 of big went offline (as the mix says)",
    ]
    # The mix's own limit is the lower one.
    assert words(NONE, heat.ask(asked(500.0))) == ["big held at 500 MHz by the mix"]
    assert words(heat, heat.ask(asked(1000.0))) == []


def test_a_figure_of_a_limit_is_never_infinite():
    assert all(
        limits.in_force.max_mhz != math.inf for limits in (NONE, NONE.ask(asked()), seen(report(), report(2000.0)))
    )
    assert NONE.in_force == UnitInputs(max_mhz=None, cpus_online=(0, 1), other_load=0.0)
