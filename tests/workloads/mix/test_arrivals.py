"""Arrival times follow their law and range, and depend on nothing but seed, name and kind."""

import math
import pickle
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from scheduler.errors import InputError
from workloads.mix.arrivals import Arrivals, External, Periodic, Poisson, Saturate, Trace, generator
from workloads.mix.errors import MixError

rates_hz = st.floats(min_value=1e-3, max_value=200)
durations_s = st.floats(min_value=1e-3, max_value=20)
seeds = st.integers(min_value=0, max_value=2**64)
open_loops = st.one_of(
    st.builds(Periodic, hz=rates_hz),
    st.builds(Periodic, hz=rates_hz, jitter_ms=st.floats(min_value=0, max_value=500)),
    st.builds(Poisson, hz=rates_hz),
    st.lists(st.floats(min_value=0, max_value=30), min_size=1).map(lambda times: Trace(sorted(times))),
)


@given(kind=open_loops, duration_s=durations_s, seed=seeds)
def test_times_are_sorted_within_the_run_and_repeatable(kind: Arrivals, duration_s: float, seed: int) -> None:
    times_s = kind.times_s(duration_s, generator(seed, "a"))
    assert times_s.dtype == np.float64
    assert np.all(np.diff(times_s) >= 0)
    assert np.all((times_s >= 0) & (times_s < duration_s))
    np.testing.assert_array_equal(times_s, kind.times_s(duration_s, generator(seed, "a")))


@given(kind=open_loops, duration_s=durations_s, share=st.floats(min_value=0.01, max_value=1), seed=seeds)
def test_a_shorter_run_is_a_prefix_of_a_longer_one(kind: Arrivals, duration_s: float, share: float, seed: int) -> None:
    long_s = kind.times_s(duration_s, generator(seed, "a"))
    short_s = kind.times_s(duration_s * share, generator(seed, "a"))
    np.testing.assert_array_equal(short_s, long_s[long_s < duration_s * share])


@given(hz=rates_hz, duration_s=durations_s)
def test_periodic_times_are_the_multiples_of_the_period(hz: float, duration_s: float) -> None:
    times_s = Periodic(hz=hz).times_s(duration_s, generator(0, "a"))
    exact = Fraction(duration_s) * Fraction(hz)
    # The last multiple may fall on the end itself once its time is rounded to a float.
    assert math.ceil(exact) - 1 <= times_s.size <= math.ceil(exact)
    np.testing.assert_array_equal(times_s, [k / hz for k in range(times_s.size)])


def test_periodic_counts_are_those_a_reader_expects() -> None:
    assert Periodic(hz=15).times_s(40, generator(0, "a")).size == 600
    assert Periodic(hz=0.1).times_s(40, generator(0, "a")).tolist() == [0, 10, 20, 30]


def test_periodic_jitter_delays_each_release_uniformly() -> None:
    kind = Periodic(hz=10, jitter_ms=50)
    times_s = kind.times_s(1000, generator(3, "a"))
    late_s = times_s - np.arange(times_s.size) / 10
    assert times_s.size == 10_000
    assert stats.kstest(late_s, stats.uniform(0, 0.05).cdf).pvalue > 0.001


def test_poisson_gaps_are_exponential_and_counts_are_poisson() -> None:
    times_s = Poisson(hz=8).times_s(1000, generator(1, "a"))
    gaps_s = np.diff(times_s, prepend=0)
    assert stats.kstest(gaps_s, stats.expon(scale=1 / 8).cdf).pvalue > 0.001
    counts = np.histogram(times_s, bins=1000, range=(0, 1000))[0]
    # Index of dispersion: the variance of a Poisson count is its mean.
    assert counts.var() / counts.mean() == pytest.approx(1, abs=0.15)
    assert counts.mean() == pytest.approx(8, rel=0.05)


@given(seed=seeds)
def test_poisson_fills_the_whole_run(seed: int) -> None:
    # 50 mean gaps without an arrival at the end would be a chance of e^-50.
    times_s = Poisson(hz=1e6).times_s(0.05, generator(seed, "a"))
    assert times_s[-1] > 0.05 - 50e-6
    assert abs(times_s.size - 50_000) < 10 * math.sqrt(50_000)


def test_generators_differ_by_seed_and_by_name() -> None:
    draws = {generator(seed, app).random() for seed in range(3) for app in ("a", "b", "ab", "ba")}
    assert len(draws) == 12
    with pytest.raises(InputError, match=r"seed must be at least 0, not -1"):
        generator(-1, "a")


@pytest.mark.parametrize(
    ("kind", "rate_hz"),
    [
        (Periodic(hz=15), 15),
        (Poisson(hz=0.5), 0.5),
        (Trace([3, 4, 5, 7]), 0.75),
        (Trace([3, 4, 5, 7, 10, 5000]), 0.75),
        (Trace([3, 4000]), None),
        (Trace([11, 12]), None),
        (Trace([3]), None),
        (Trace([0, 1e-320]), None),
        (Trace([3, 3]), None),
        (External(), None),
        (Saturate(), None),
    ],
)
def test_rate_is_the_mean_or_unknown(kind: Arrivals, rate_hz: float | None) -> None:
    assert kind.rate_hz(10.0) == rate_hz


@pytest.mark.parametrize("kind", [External(), Saturate()])
def test_who_is_asked_by_others_has_no_times_of_its_own(kind: Arrivals) -> None:
    assert kind.times_s(10, generator(0, "a")).shape == (0,)


def test_trace_from_a_file_and_from_a_list_are_the_same(tmp_path: Path) -> None:
    file = tmp_path / "gate.csv"
    file.write_bytes(b"\xef\xbb\xbf# seconds\r\n0\r\n0.5\r\n\r\n0.5\r\n 2e0 \r\n")
    assert Trace(file) == Trace(str(file)) == Trace(np.array([0, 0.5, 0.5, 2])) == Trace([0, 0.5, 0.5, 2])
    assert Trace(file).times_s(2, generator(0, "a")).tolist() == [0, 0.5, 0.5]
    assert pickle.loads(pickle.dumps(Trace(file))) == Trace(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"1\n2\n\n1.5\n", r"gate\.csv', line 4: the time 1\.5 is before 2\.0"),
        (b"1\n-2\n", r"gate\.csv', line 2: the time must be at least 0, not -2"),
        (b"nan\n", r"gate\.csv', line 1: the time must be a finite number, not nan"),
        (b"1\ninf\n", r"gate\.csv', line 2: the time must be a finite number, not inf"),
        (b"time_s\n1\n", r"gate\.csv', line 1: 'time_s' is not a number of seconds"),
        (b"1,2\n", r"gate\.csv', line 1: '1,2' is not a number of seconds; .* decimal point; .*column=1"),
        (b"1,2,3\n", r"line 1: it has 3 columns; give the number of the one with the times, .*column=1"),
        (b"Timestamp,Model\n5,GPT-4\n", r"line 1: it has the columns 'Timestamp', 'Model'; name .*column='Timestamp'"),
        (b"time\n1\n", r"line 1: 'time' is not a number .*if this is a heading, Trace\(\.\.\., column='time'\)"),
        (b"1\n2 s\n", r"line 2: '2 s' is not a number of seconds; write one time a line\."),
        (b"1\x00\n", r"gate\.csv' is not a text file: it holds zero bytes"),
        (b"\n# nothing\n", r"gate\.csv'\)? holds no arrival time"),
        (b"\x89PNG\xff\xfe\x00", r"gate\.csv' is not a text file"),
    ],
)
def test_a_bad_trace_file_is_named_with_its_line(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "gate.csv"
    file.write_bytes(content)
    with pytest.raises(MixError, match=message):
        Trace(str(file))


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (np.array(1.0), r"Trace takes a file or a list of seconds, not array\(1\.\)"),
        ("a\0b", r"is not a text file: embedded null byte"),
        ([], r"Trace\(\[\]\) holds no arrival time"),
        ([2, 1], r"item 1: the time 1\.0 is before 2\.0"),
        ([0, "1"], r"item 1: the time must be a number, not '1'\. Did you mean 1\?"),
        ([True], r"item 0: the time must be a number, not True"),
        (3.5, r"Trace takes a file or a list of seconds, not 3\.5"),
        ("no-such-trace.csv", r"cannot read 'no-such-trace\.csv': No such file"),
        ("/", r"cannot read '/': Is a directory"),
    ],
)
def test_a_bad_trace_is_refused(times: object, message: str) -> None:
    with pytest.raises(MixError, match=message):
        Trace(times)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (Periodic, {"hz": 0}, r"Periodic: hz must be above 0, not 0"),
        (Periodic, {"hz": "15"}, r"Periodic: hz must be a number, not '15'\. Did you mean 15\?"),
        (Periodic, {"hz": 5, "jitter_ms": -1}, r"Periodic: jitter_ms must be at least 0, not -1"),
        (Poisson, {"hz": math.inf}, r"Poisson: hz must be a finite number, not inf"),
        (Poisson, {"hz": 10**400}, r"Poisson: hz must be a finite number"),
        (Poisson, {"hz": None}, r"Poisson: hz must be a number, not None"),
    ],
)
def test_a_bad_rate_is_refused(kind: type, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(MixError, match=message):
        kind(**arguments)
