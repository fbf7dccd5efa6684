"""Traces as they are published: units, origins, columns, dates, encodings, and traces longer than the run."""

import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.small_mixes import app
from workloads.mix.arrivals import Trace
from workloads.mix.briefing import arrival_model
from workloads.mix.errors import MixError
from workloads.mix.mix import Mix
from workloads.mix.trace_file import UNITS

UNIX = 1_700_158_546
SECONDS = (0.0, 0.623, 2.226)

# The first lines of three published traces, cut to what matters here.
BURST_GPT = "Timestamp,Model,Request tokens\n5,ChatGPT,472\n45,ChatGPT,1087\n118,GPT-4,417\n"
AZURE_LLM = (
    "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.9951690,396,109\n"
)
AZURE_FUNCTIONS = "app,func,end_timestamp,duration\nf1a,b2d,20.75,1.5\nf1a,b2c,20.5,0.5\n"


@pytest.mark.parametrize(
    ("content", "options", "seconds"),
    [
        (BURST_GPT, {"column": "Timestamp"}, (5, 45, 118)),
        (BURST_GPT, {"column": 1, "origin": 40}, (5, 78)),
        (AZURE_LLM, {"column": "TIMESTAMP", "origin": "first"}, (0, 4.314579)),
        (AZURE_FUNCTIONS, {"column": "end_timestamp", "origin": "first"}, (0, 0.25)),
        ("at;tokens\n0,5;7\n1,25;8\n", {"column": "at"}, (0.5, 1.25)),
        ("7\t0.5\n8\t1.25\n", {"column": 2}, (0.5, 1.25)),
        ('# made by hand\nwho,"at"\n"a, b",1\n\n"c",2 # late\n', {"column": "at"}, (1, 2)),
        ("0 # the gate opens\n\n0.623\t# a car\n2.226\r", {}, SECONDS),
        ("1,\n,\n2,\n", {"column": 1}, (1, 2)),
        ("-1\n0\n3\n", {"origin": -1}, (0, 1, 4)),
    ],
)
def test_published_tables_are_read_by_their_column(
    tmp_path: Path, content: str, options: dict[str, Any], seconds: tuple[float, ...]
) -> None:
    file = tmp_path / "trace.csv"
    file.write_text(content)
    assert Trace(file, **options).seconds == seconds


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_encodings_and_line_endings_do_not_matter(tmp_path: Path, encoding: str, ending: str) -> None:
    file = tmp_path / "trace.txt"
    file.write_bytes(ending.join(map(str, SECONDS)).encode(encoding))
    assert Trace(file) == Trace(SECONDS)


@pytest.mark.parametrize("unit", UNITS)
def test_unix_time_in_any_unit_is_exact(tmp_path: Path, unit: Any) -> None:
    stamps = [str((UNIX + Decimal(str(at_s))) * UNITS[unit]) for at_s in SECONDS]
    file = tmp_path / "trace.txt"
    file.write_text("\n".join(stamps))
    assert Trace(file, unit=unit, origin="first").seconds == SECONDS
    if unit == "ns":
        assert Trace([int(Decimal(stamp)) for stamp in stamps], unit="ns", origin="first").seconds == SECONDS
    # Without a word on the origin the trace would have no request in any run; the error names what seems meant.
    given = "" if unit == "s" else f"unit='{unit}', "
    with pytest.raises(MixError, match=rf"all 3 times .* like Unix time in {unit}: write .*{given}origin='first'"):
        Mix("m", apps=[app(arrivals=Trace(file))], duration_s=10)


@given(
    times=st.lists(st.integers(0, 10**19), min_size=1, max_size=5).map(sorted),
    unit=st.sampled_from(list(UNITS)),
    origin=st.integers(0, 10**19),
)
def test_units_and_origins_are_arithmetic(times: list[int], unit: Any, origin: int) -> None:
    left = [float(Decimal(at - origin) / UNITS[unit]) for at in times if at >= origin]
    if left:
        assert Trace(times, unit=unit, origin=origin).seconds == pytest.approx(left, rel=1e-12)
        assert Trace(times, unit=unit, origin="first").seconds[0] == 0
    else:
        with pytest.raises(MixError, match="from its origin"):
            Trace(times, unit=unit, origin=origin)


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (BURST_GPT, {"column": "timestamp"}, r"no column 'timestamp'. It has 'Timestamp', .* Did you mean 'Timestamp'"),
        (BURST_GPT, {"column": 4}, r"no column 4; it has 3, counted from 1"),
        (BURST_GPT, {"column": "Model"}, r"line 2: 'ChatGPT' is neither a number nor a date"),
        ("a,b\n1\n", {"column": "b"}, r"line 2: has 1 columns, and no column 2"),
        ("at\n", {"column": "at"}, r"holds no arrival time"),
        ("at\n5\nnan\n-3\n", {"column": "at"}, r"line 3: the time must be a finite number, not nan"),
        ("1e9999999\n", {}, r"line 1: the time must be a finite number, not inf"),
        ("1e9999999\n", {"unit": "ms", "origin": "first"}, r"line 1: the time must be a finite number, not inf"),
        ("at\n5\n-3\n", {"column": "at"}, r"line 3: the time must be at least 0, not -3"),
        ("", {"column": "at"}, r"no column 'at'"),
        ("1\n2\n", {"unit": "min"}, r"Trace: unit must be one of s, ms, us, ns, not 'min'"),
        ("1\n2\n", {"origin": "last"}, r"Trace: origin, unless it is 'first', must be a number, not 'last'"),
        ("1\n2\n", {"origin": 5}, r"holds no arrival time from its origin, 5 s, on"),
        ("1\n2\n", {"column": 0}, r"Trace: column must be at least 1, not 0"),
        ("2023-11-16\n2023-11-15\n", {"origin": "first"}, r"line 2: the time -86400.0 is before 0.0"),
    ],
)
def test_a_wrong_option_is_refused(tmp_path: Path, content: str, options: dict[str, Any], message: str) -> None:
    file = tmp_path / "trace.csv"
    file.write_text(content)
    with pytest.raises(MixError, match=message):
        Trace(file, **options)


def test_a_table_of_counts_is_refused_without_listing_its_1440_columns(tmp_path: Path) -> None:
    file = tmp_path / "counts.csv"
    file.write_text(",".join(["HashApp", *map(str, range(1, 1441))]) + "\nab," + ",".join(["0"] * 1440))
    with pytest.raises(MixError, match=r"'HashApp', '1', .* and 1433 more") as error:
        Trace(file)
    assert len(str(error.value)) < 300


def test_what_lies_after_the_run_changes_nothing_but_a_notice() -> None:
    first = np.sort(np.random.default_rng(7).uniform(0, 10, 96)).tolist()
    cut, whole = (
        Mix("m", apps=[app("a", arrivals=Trace(times), latency_ms=400)], duration_s=10)
        for times in (first, [*first, *np.arange(20, 3600, 10.5)])
    )
    (short,), (long) = cut.all_apps(), whole.all_apps()
    assert arrival_model(short) == arrival_model(long[0])
    assert short.app.queue_bound(short.length_s) == long[0].app.queue_bound(long[0].length_s)
    np.testing.assert_array_equal(cut.arrivals_s(3)["a"], whole.arrivals_s(3)["a"])
    assert cut.notices() == []
    assert whole.notices() == ["app 'a': 341 of 437 times of its Trace lie after its 10 s."]


def test_whole_numbers_mostly_after_the_end_are_likely_milliseconds() -> None:
    mix = Mix("m", apps=[app("a", arrivals=Trace([0, 623, 2226]))], duration_s=10)
    assert mix.notices() == [
        "app 'a': 2 of 3 times of its Trace lie after its 10 s. They are whole numbers: if they are milliseconds, "
        "write Trace(..., unit='ms')."
    ]


def test_a_trace_that_begins_after_the_end_is_refused() -> None:
    with pytest.raises(MixError, match=r"app 'a': all 2 times .*: the first is at 40 s\. .*origin='first'"):
        Mix("m", apps=[app("a", arrivals=Trace([40, 50]))], duration_s=10)
    assert math.isclose(Trace([40, 50], origin="first").seconds[1], 10)
