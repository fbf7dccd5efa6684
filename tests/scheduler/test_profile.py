"""Times that depend on a request's size, and those that do not, which have no size."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.stored_profiles import thinned
from helpers.sized import sized_time
from scheduler.profile import Profile, RungProfile, ServiceTime

MS = st.floats(0.01, 1e4)
SIZE = st.floats(0.1, 1e3)
SPEED = st.floats(0.1, 10)


@st.composite
def sized(draw) -> ServiceTime:
    raw = sorted(draw(st.lists(st.floats(0.5, 2), min_size=1, max_size=80)))
    mean = math.fsum(raw) / len(raw)
    residuals = tuple(one / mean for one in raw)
    return sized_time(draw(st.floats(0, 1e3)), draw(MS), draw(st.lists(SIZE, min_size=1, max_size=5)), residuals)


def profile_of(time: ServiceTime, sizes: tuple[float, ...] = (1.0,)) -> Profile:
    rung = RungProfile(subnet="s", accuracy=None, accuracy_source="unknown", times=(time,))
    return Profile(supernet="net", machine="m", rungs=(rung,), sizes=sizes)


@given(st.lists(MS, min_size=1, max_size=20), SIZE)
def test_without_sizes_all_requests_have_the_same_times(samples_ms, size):
    time = ServiceTime(kind="cpu", cores=1, samples_ms=tuple(sorted(samples_ms)))
    assert time.samples_at_ms() is time.samples_at_ms(size) is time.samples_ms
    assert time.expected_ms(size) == time.mean_ms


@given(sized(), SIZE)
def test_the_mean_of_a_size_is_what_is_expected(time, size):
    samples_ms = time.samples_at_ms(size)
    assert list(samples_ms) == sorted(samples_ms)
    assert math.fsum(samples_ms) / len(samples_ms) == pytest.approx(time.expected_ms(size))
    assert time.expected_ms(size) == pytest.approx(time.base_ms + time.per_size_ms * size)


@given(sized(), SIZE, SPEED)
def test_speeds_and_sizes_commute(time, size, speed):
    scaled = profile_of(time).at_speeds({1: speed}).service("s", "cpu", 1)
    assert scaled.samples_at_ms(size) == pytest.approx([speed * ms for ms in time.samples_at_ms(size)])
    assert scaled.samples_ms == pytest.approx([speed * ms for ms in time.samples_ms])
    assert scaled.expected_ms(size) == pytest.approx(speed * time.expected_ms(size))
    assert profile_of(replace(time, kind="gpu")).at_speeds({1: speed}).service("s", "gpu", 1).base_ms == time.base_ms


@given(sized(), SIZE, st.integers(1, 30))
def test_fewer_residuals_have_the_same_mean(time, size, at_most):
    fewer = replace(time, residuals=tuple(thinned(time.residuals, at_most, digits=6)))
    assert len(fewer.residuals) <= at_most or fewer == time
    samples_ms = fewer.samples_at_ms(size)
    assert math.fsum(samples_ms) / len(samples_ms) == pytest.approx(time.expected_ms(size), rel=2e-6)


def test_sizes_are_those_of_requests_in_turn():
    profile = profile_of(sized_time(1, 1, [3.0, 5.0]), (3.0, 5.0))
    assert [profile.size(index) for index in range(5)] == [3, 5, 3, 5, 3]
    assert profile.only(["s"]).at_speeds({1: 2.0}).above(0.5).sizes == (3.0, 5.0)
    assert profile_of(ServiceTime(kind="cpu", cores=1, samples_ms=(2.0,))).size(7) == 1


def test_the_shortest_times_are_apart_by_kind_and_by_memory_share():
    times = [
        ServiceTime(kind=kind, cores=1, samples_ms=(ms, ms + 2), memory_share=share)
        for kind, ms, share in [("cpu", 5.0, None), ("cpu", 3.0, None), ("cpu", 8.0, 0.8), ("gpu", 1.0, None)]
    ]
    profile = replace(profile_of(times[0]), rungs=tuple(profile_of(time).rungs[0] for time in times))
    assert profile.shortest_ms() == {("cpu", None): 4.0, ("cpu", 0.8): 9.0, ("gpu", None): 2.0}


def test_the_samples_of_a_stream_of_other_sizes_are_those_that_a_profile_of_it_would_have():
    short, long = (2.0, 3.0, 4.0), tuple(20 + 0.1 * place for place in range(300))
    residuals = tuple(0.9 + 0.002 * place for place in range(101))
    measured = profile_of(sized_time(1.0, 2.0, short, residuals), short)
    (time,) = measured.of_sizes(long).rungs[0].times
    direct = sized_time(1.0, 2.0, long, residuals)
    assert len(time.samples_ms) == len(measured.rungs[0].times[0].samples_ms)
    assert list(time.samples_ms) == sorted(time.samples_ms)
    for share in (0.05, 0.5, 0.95, 0.99):
        assert time.quantile_ms(share) == pytest.approx(direct.quantile_ms(share), rel=0.01)
    assert (time.base_ms, time.per_size_ms, time.residuals) == (direct.base_ms, direct.per_size_ms, direct.residuals)
    assert measured.of_sizes(long).sizes == long


def test_a_profile_without_sizes_is_the_same_for_all_streams():
    profile = profile_of(ServiceTime(kind="cpu", cores=1, samples_ms=(1.0, 2.0)))
    assert profile.of_sizes((3.0, 4.0)) is profile
