"""A summary's counts add up, its shares and verdicts follow their definitions, and its JSON has the public shape."""

import json
import math
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from actors.requests.records import RECORD, Status
from helpers.sensed_run import sensed_run
from helpers.summary_schema import SCHEMA
from helpers.synthetic_run import make_run
from scheduler.profile import RungProfile
from scheduler.views import Gear
from workloads.mix.mix import Target
from workloads.results.summarize import AppRecords, summarize_app, tail_of
from workloads.results.summary import AppSummary, Segment, Summary, SummaryError, Tail, energy_summary, read_summary
from workloads.results.verdict import verdict_of, wilson_interval


def rung(subnet: str, accuracy: float | None = None, source: str = "unknown") -> RungProfile:
    return RungProfile(subnet=subnet, accuracy=accuracy, accuracy_source=source, times=())


def target(from_s: float = 0.0, latency_ms: float = 60.0, min_accuracy: float = 0.0, slo: float = 0.95) -> Target:
    return Target(from_s=from_s, latency_ms=latency_ms, min_accuracy=min_accuracy, weight=1.0, slo=slo)


def record(
    index: int,
    arrival_s: float,
    latency_ms: float,
    target_ms: float = 60.0,
    status: Status = Status.COMPLETED,
    credit: float = math.nan,
    subnet: int = 0,
) -> tuple[Any, ...]:
    end_s = arrival_s + latency_ms / 1000
    return (index, arrival_s, arrival_s, end_s, target_ms, latency_ms, status, credit, subnet, 0, 1)


def summarize(rows: list[tuple[Any, ...]], arrivals_s: list[float], **given: Any) -> AppSummary:
    app = AppRecords(
        arrivals_s=np.array(arrivals_s, dtype=np.float64),
        records=np.array(rows, dtype=RECORD),
        **{"targets": [target()], "ladder": [rung("s"), rung("l")], "gears": [], **given},
    )
    return summarize_app(app)


# ---------------------------------------------------------------- counting


@given(st.data())
def test_counts_add_up_and_every_figure_agrees_with_a_plain_count(data: st.DataObject) -> None:
    gaps = data.draw(st.lists(st.floats(0, 2), max_size=40))
    arrivals_s = np.cumsum(gaps).tolist()
    starts_s = sorted({0.0, *data.draw(st.lists(st.floats(0.1, 30), max_size=3))})
    targets = [target(at_s, latency_ms=10.0 * (place + 1)) for place, at_s in enumerate(starts_s)]
    rows = []
    for index, at_s in enumerate(arrivals_s):
        own_ms = [one for one in targets if one.from_s <= at_s][-1].latency_ms
        status = data.draw(
            st.sampled_from([None, Status.ARRIVED, *([Status.COMPLETED] * 3), Status.DROPPED, Status.FAILED])
        )
        if status is not None:
            subnet = data.draw(st.integers(0, 1)) if status is Status.COMPLETED else -1
            rows.append(record(index, at_s, data.draw(st.floats(0, 80)), own_ms, status, subnet=subnet))
    end_s = data.draw(st.sampled_from([math.inf, -1.0, *arrivals_s]))
    app = summarize(data.draw(st.permutations(rows)), arrivals_s, targets=targets, end_s=end_s)

    ended = [row for row in rows if row[6] != Status.ARRIVED]
    completed = [row for row in ended if row[6] == Status.COMPLETED]
    on_time = [row for row in completed if 1000 * (row[3] - row[1]) <= row[4] + 1e-6]
    assert app.submitted == len(arrivals_s) == app.completed + app.dropped + app.failed + app.in_flight
    assert app.completed == len(completed) == sum(app.subnets.values())
    assert app.dropped == sum(row[6] == Status.DROPPED for row in ended)
    assert app.failed == sum(row[6] == Status.FAILED for row in ended)
    # A request that never ended is late if it was due by the end, and else counts neither way.
    left = set(range(len(arrivals_s))) - {row[0] for row in ended}
    due = [at_s + [one for one in targets if one.from_s <= at_s][-1].latency_ms / 1000 for at_s in arrivals_s]
    counted = len(ended) + sum(due[index] <= end_s for index in left)
    assert app.on_time == (pytest.approx(len(on_time) / counted) if counted else None)
    assert app.counted == counted
    hits = sum(segment.n * segment.on_time for segment in app.segments if segment.on_time is not None)
    assert hits == pytest.approx(len(on_time))
    assert [segment.from_s for segment in app.segments] == starts_s
    assert app.latency_ms.max == (pytest.approx(max(1000 * (r[3] - r[1]) for r in completed)) if completed else None)


def test_dropped_and_failed_are_late_and_what_is_due_after_the_end_is_not_counted() -> None:
    rows = [
        record(0, 0.0, 60.0),
        record(1, 1.0, 61.0),
        record(2, 2.0, 5.0, status=Status.DROPPED, subnet=-1),
        record(3, 3.0, 5.0, status=Status.FAILED, subnet=-1),
    ]
    app = summarize(rows, [0.0, 1.0, 2.0, 3.0, 4.0], end_s=4.05)
    assert (app.submitted, app.completed, app.dropped, app.failed, app.in_flight) == (5, 2, 1, 1, 1)
    assert app.on_time == 1 / 4


def test_an_app_that_answers_a_tenth_and_hangs_has_missed_its_objective() -> None:
    rows = [record(index, index / 10, 30.0) for index in range(100)]
    app = summarize(rows, [index / 10 for index in range(1000)])
    assert (app.completed, app.in_flight, app.on_time, app.verdict) == (100, 900, 0.1, "missed")
    assert summarize(rows, [index / 10 for index in range(1000)], end_s=9.95).on_time == 1.0


def test_latency_equal_to_the_target_is_on_time_in_spite_of_rounding() -> None:
    assert (10.06 - 10.0) * 1000 > 60
    row = (0, 10.0, 10.0, 10.06, 60.0, 60.0, Status.COMPLETED, -1, 0, 0, 1)
    assert summarize([row], [10.0]).on_time == 1.0
    late = (0, 10.0, 10.0, 10.060001, 60.0, 60.0, Status.COMPLETED, -1, 0, 0, 1)
    assert summarize([late], [10.0]).on_time == 0.0


def test_a_nanosecond_after_the_target_is_on_time_and_two_are_not() -> None:
    assert 0.060000001 * 1000 == 60 + 1e-6
    assert summarize([(0, 0.0, 0.0, 0.060000001, 60.0, 60.0, Status.COMPLETED, -1, 0, 0, 1)], [0.0]).on_time == 1.0
    assert summarize([(0, 0.0, 0.0, 0.060000002, 60.0, 60.0, Status.COMPLETED, -1, 0, 0, 1)], [0.0]).on_time == 0.0


def test_nothing_asked_gives_no_figures() -> None:
    app = summarize([], [])
    assert (app.submitted, app.on_time, app.latency_ms.p50, app.accuracy.value) == (0, None, None, None)
    assert app.verdict == "not shown"
    assert app.segments == (Segment(from_s=0.0, target_ms=60.0, min_accuracy=0.0, on_time=None, accuracy=None, n=0),)


def test_a_request_that_a_lost_worker_finished_does_not_fail_again() -> None:
    rows = [record(0, 0.0, 90.0, status=Status.FAILED, subnet=-1), record(0, 0.0, 20.0)]
    app = summarize(rows, [0.0])
    assert (app.completed, app.failed) == (1, 0)


def test_record_of_a_request_that_never_arrived_is_refused() -> None:
    for index in (3, 2, -1):
        with pytest.raises(ValueError, match=f"request {index}, but only 2"):
            summarize([record(index, 0.0, 1.0)], [0.0, 1.0])


def test_a_request_belongs_to_the_segment_of_its_arrival() -> None:
    targets = [target(0, 60, min_accuracy=0.8), target(10, 30, min_accuracy=0.7, slo=0.9)]
    rows = [
        record(0, 9.99, 50.0, 60.0, credit=1),  # ends in the second segment, within the first's target
        record(1, 10.0, 50.0, 30.0, credit=0),
        record(2, 11.0, 20.0, 30.0, credit=1),
    ]
    app = summarize(rows, [9.99, 10.0, 11.0], targets=targets)
    assert [(s.on_time, s.accuracy, s.n) for s in app.segments] == [(1.0, 1.0, 1), (0.5, 0.5, 2)]
    assert (app.target_ms, app.min_accuracy, app.slo) == (30, 0.7, 0.9)


def test_switches_are_changes_of_subnetwork_unit_or_cores() -> None:
    first = Gear(subnet="s", unit="big", cores=1)
    gears = [first, first, Gear(subnet="l", unit="big", cores=1), Gear(subnet="l", unit="big", cores=2), first]
    app = summarize([], [], gears=gears, switch_ms=[1.0, 3.0, 2.0])
    assert app.switches == 3
    assert app.switch_ms.p50 == 2.0


# ---------------------------------------------------------------- accuracy


def test_accuracy_is_measured_on_labelled_completions() -> None:
    rows = [
        record(0, 0.0, 1.0, credit=1),
        record(1, 1.0, 1.0, credit=0),
        record(2, 2.0, 1.0, credit=math.nan),
        record(3, 3.0, 1.0, credit=1, status=Status.FAILED),
    ]
    app = summarize(rows, [0.0, 1.0, 2.0, 3.0], ladder=[rung("s", 0.9, "measured"), rung("l")])
    assert (app.accuracy.value, app.accuracy.n, app.accuracy.source) == (0.5, 2, "measured")


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (("measured", "measured"), "profiled"),
        (("measured", "published"), "published"),
        (("published", "published"), "published"),
    ],
)
def test_accuracy_without_labels_is_of_the_subnetworks_used(sources: tuple[str, str], expected: str) -> None:
    rows = [record(0, 0.0, 1.0), record(1, 1.0, 1.0, subnet=1), record(2, 2.0, 1.0, subnet=1)]
    ladder = [rung("s", 0.6, sources[0]), rung("l", 0.9, sources[1]), rung("unused")]
    app = summarize(rows, [0.0, 1.0, 2.0], ladder=ladder)
    assert app.accuracy.value == pytest.approx(0.8)
    assert (app.accuracy.n, app.accuracy.source) == (3, expected)


def test_accuracy_of_an_unknown_subnetwork_is_unknown() -> None:
    rows = [record(0, 0.0, 1.0), record(1, 1.0, 1.0, subnet=1)]
    app = summarize(rows, [0.0, 1.0], ladder=[rung("s", 0.6, "measured"), rung("l")])
    assert (app.accuracy.value, app.accuracy.n, app.accuracy.source) == (None, 0, "unknown")
    assert app.segments[0].accuracy is None


def test_a_predicted_accuracy_is_not_one_that_was_delivered() -> None:
    rows = [record(0, 0.0, 1.0), record(1, 1.0, 1.0, subnet=1)]
    app = summarize(rows, [0.0, 1.0], ladder=[rung("s", 0.6, "measured"), rung("l", 0.9, "predicted")])
    assert (app.accuracy.value, app.accuracy.n, app.accuracy.source) == (None, 0, "unknown")


# ---------------------------------------------------------------- verdict


@given(st.integers(1, 2000), st.floats(0, 1))
def test_wilson_interval_agrees_with_scipy(n: int, share: float) -> None:
    successes = round(share * n)
    expected = binomtest(successes, n).proportion_ci(confidence_level=0.95, method="wilson")
    assert wilson_interval(successes, n, z=1.959963984540054) == pytest.approx(tuple(expected), abs=1e-12)


def test_wilson_interval_of_nothing_and_at_the_ends() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert wilson_interval(0, 7)[0] == 0.0
    assert wilson_interval(7, 7)[1] == 1.0
    with pytest.raises(ValueError, match="between 0 and n=3, not 4"):
        wilson_interval(4, 3)


@pytest.mark.parametrize(
    ("on_time", "n", "slo", "verdict"),
    [
        (600, 600, 0.95, "met"),
        (540, 600, 0.95, "missed"),
        (570, 600, 0.95, "not shown"),
        (30, 30, 0.95, "not shown"),  # 30 of 30 may still be 89 %
        (0, 0, 0.95, "not shown"),
        (600, 600, 1.0, "not shown"),  # certainty is never shown,
        (599, 600, 1.0, "missed"),  # but refuted by one
    ],
)
def test_verdict(on_time: int, n: int, slo: float, verdict: str) -> None:
    assert verdict_of(on_time, n, slo) == verdict


# ---------------------------------------------------------------- JSON


def keys_in_order(value: Any) -> list[str]:
    return list(value)


def test_summary_has_the_public_shape_and_order() -> None:
    made = make_run().summary.to_dict()
    jsonschema.validate(made, SCHEMA)
    assert keys_in_order(made) == [*SCHEMA["required"]]
    assert keys_in_order(made["apps"]["entrance"]) == SCHEMA["$defs"]["app"]["required"]
    segment = SCHEMA["$defs"]["app"]["properties"]["segments"]["items"]
    assert keys_in_order(made["apps"]["entrance"]["segments"][0]) == segment["required"]
    assert keys_in_order(made["manager"]) == ["epochs", "solve_ms", "apply_ms", "overruns"]
    assert json.loads(make_run().summary.to_json()) == made


def test_summary_of_a_simulation_has_null_for_what_the_wall_tells() -> None:
    made = make_run().summary.to_dict() | {"host": None}
    jsonschema.validate(made, SCHEMA)


def test_json_holds_no_nan_and_no_numpy() -> None:
    made = make_run().summary
    odd = Summary(
        **{
            field: getattr(made, field)
            for field in made.__dataclass_fields__
            if field not in ("duration_s", "seed", "manager")
        },
        duration_s=math.inf,
        seed=np.int64(3),  # type: ignore[arg-type]
        manager=made.manager.__class__(
            epochs=1, solve_ms=Tail(p50=math.nan, p99=np.float64(2.0)), apply_ms=Tail(), overruns=0
        ),
    )
    data = json.loads(odd.to_json(), parse_constant=pytest.fail)
    assert (data["duration_s"], data["seed"]) == (None, 3)
    assert data["manager"]["solve_ms"] == {"p50": None, "p99": 2.0}


def test_tail_of_nothing_is_unknown() -> None:
    assert tail_of([]) == Tail(p50=None, p99=None)
    assert tail_of(range(101)) == Tail(p50=50.0, p99=99.0)


def test_stored_summary_reads_back_equal(tmp_path: Path) -> None:
    made = make_run().summary
    path = tmp_path / "summary.json"
    path.write_text(made.to_json(), encoding="utf-8")
    assert read_summary(path).to_json() == made.to_json()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"schema": 1, "mix": "car', "not whole JSON.*Remove it"),
        ('{"schema": 2}', "schema must be 1, not 2"),
        ("[]", "schema must be 1, not None"),
        ('{"schema": 1}', "mix: .*required"),
        ("\x00\x01", "not whole JSON"),
    ],
)
def test_bad_summary_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "summary.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SummaryError, match=message) as caught:
        read_summary(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_summary_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SummaryError, match=r"nowhere\.json: cannot be read: No such file"):
        read_summary(tmp_path / "nowhere.json")


def test_rails_are_in_the_summary_as_the_schema_has_them(tmp_path: Path) -> None:
    made = sensed_run(why_board="/energy_uj: Permission denied").summary
    data = made.to_dict()
    jsonschema.validate(data, SCHEMA)
    assert data["energy"] == {
        "units_j": 41.2,
        "board_j": None,
        "source": "measured",
        "units_source": "measured",
        "board_source": "unknown",
        "rails": {
            "VDD_CPU_GPU_CV": {
                "joules": 41.2,
                "covers": ["big", "little"],
                "samples": 5714,
                "longest_gap_s": 0.0101,
                "why_unknown": None,
            },
            "VDD_IN": {
                "joules": None,
                "covers": "board",
                "samples": 0,
                "longest_gap_s": None,
                "why_unknown": "/energy_uj: Permission denied",
            },
        },
    }
    path = tmp_path / "summary.json"
    path.write_text(made.to_json(), encoding="utf-8")
    assert read_summary(path).energy == made.energy


def test_without_sensors_both_energies_have_their_source() -> None:
    assert make_run().summary.to_dict()["energy"] == {
        "units_j": 53.2,
        "board_j": None,
        "source": "modelled",
        "units_source": "modelled",
        "board_source": "unknown",
        "rails": {},
    }
    assert energy_summary(1.0, 2.0, units_source="modelled").board_source == "modelled"


@pytest.mark.parametrize(("board_j", "source"), [(None, "unknown"), (70.0, "modelled")])
def test_a_summary_from_before_sources_were_apart_is_read(tmp_path: Path, board_j: float | None, source: str) -> None:
    data = make_run().summary.to_dict()
    data["energy"] = {"units_j": 53.2, "board_j": board_j, "source": "modelled"}
    path = tmp_path / "summary.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    energy = read_summary(path).energy
    assert (energy.units_source, energy.board_source, energy.rails) == ("modelled", source, {})
