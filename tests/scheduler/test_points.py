"""Operating points agree with their definitions; what requests wait is tested in test_queues."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from scheduler.board import Board, BoardUnit
from scheduler.points import ArrivalModel, PointsError, check_accuracy, operating_points
from scheduler.problem import Demand, OperatingPoint, Points, PointTable, Problem, ProblemError, Unit
from scheduler.profile import Profile, RungProfile, ServiceTime

FloatArray = NDArray[np.float64]
CLOSED = ArrivalModel(kind="saturate")


def cpu(name: str = "big", cores: int = 1, mhz: tuple[float, ...] = (2000.0,), **more: object) -> BoardUnit:
    watts = tuple(f / 1000 for f in mhz)
    unit = BoardUnit(
        name=name, kind="cpu", cpus=tuple(range(cores)), dvfs="emulated", mhz=mhz, static_w=watts, dynamic_w=watts
    )
    return replace(unit, **more)  # type: ignore[arg-type]


def board(*units: BoardUnit) -> Board:
    return Board(name="bench", units=units, base_w=None, sensor="none", power_source="made up")


def service(samples_ms: FloatArray | list[float], kind: str = "cpu", cores: int = 1) -> ServiceTime:
    return ServiceTime(kind=kind, cores=cores, samples_ms=tuple(sorted(map(float, samples_ms))))


def ladder(*times: tuple[ServiceTime, ...], accuracy: float | None = 0.9) -> Profile:
    return Profile(
        supernet="plates",
        machine="host",
        rungs=tuple(
            RungProfile(subnet=f"s{k}", accuracy=accuracy, accuracy_source="measured", times=rung)
            for k, rung in enumerate(times)
        ),
    )


def lone_point(samples_ms: FloatArray | list[float], arrivals: ArrivalModel, slo: float) -> OperatingPoint:
    (point,) = operating_points(board(cpu()), ladder((service(samples_ms),)), app="a", arrivals=arrivals, slo=slo)
    return point


@pytest.mark.parametrize(("rate_hz", "left"), [(10.0, ["s0", "s1"]), (10.001, ["s0"])])
def test_points_above_a_load_of_nine_tenths_are_left_out(rate_hz: float, left: list[str]) -> None:
    arrivals = ArrivalModel(kind="periodic", rate_hz=rate_hz)
    profile = ladder((service([10.0]),), (service([90.0]),))  # 90 ms ten times a second is a load of 0.9
    points = operating_points(board(cpu()), profile, app="a", arrivals=arrivals, slo=0.95)
    assert [point.subnet for point in points] == left


# ---------------------------------------------------------------- what a point says


def test_energy_is_that_above_an_idle_unit_at_the_networks_activity() -> None:
    unit = cpu(static_w=(0.4,), dynamic_w=(2.0,), idle_share=0.25)
    quiet = replace(service([10.0]), activity=0.6)
    (point,) = operating_points(board(unit), ladder((quiet,)), app="a", arrivals=CLOSED, slo=0.95)
    # 0.6 · 2 W of the core, and the 0.3 W by which the rest of the unit takes more than idle, for 10 ms.
    assert point.energy_mj == pytest.approx((0.6 * 2.0 + 0.3) * 10.0)


def test_points_of_a_small_board_worked_out_by_hand() -> None:
    big = cpu("big", 2, (1000.0, 2000.0), speed=0.5, dynamic_w=(1.0, 3.0))
    gpu = cpu("gpu", 1, (500.0,), kind="gpu", cpus=(), speed=2.0, memory_share=0.5, dynamic_w=None)
    rung = (service([9, 10, 11]), service([6], cores=2), service([8], kind="gpu"), service([4], cores=3))
    points = operating_points(
        board(big, gpu), ladder(rung), app="a", arrivals=CLOSED, slo=0.95, service_ratio=1.5, margin=0.1
    )
    # big's pace is 0.5 at the top and 0.25 at half the clock: 10 ms become 40 and 20, times 1.5; latency is that of
    # the longest sample, times 1.1; energy is W · cores · ms. Nothing was profiled that fits three cores.
    expected = [
        # cores, MHz, service, latency, energy
        ("big", 1, 1000, 60, 1.1 * 66, 60),
        ("big", 1, 2000, 30, 1.1 * 33, 90),
        ("big", 2, 1000, 36, 1.1 * 36, 72),
        ("big", 2, 2000, 18, 1.1 * 18, 108),
        ("gpu", 1, 500, 6, 1.1 * 6, 0),  # no power figures
    ]
    rows = [(p.unit, p.cores, p.mhz, p.service_ms, p.latency_ms, p.energy_mj) for p in points]
    assert [row[:3] for row in rows] == [row[:3] for row in expected]
    np.testing.assert_allclose([row[3:] for row in rows], [row[3:] for row in expected])
    assert {(p.subnet, p.accuracy) for p in points} == {("s0", 0.9)}


boards = st.lists(
    st.tuples(st.integers(1, 3), st.sets(st.integers(100, 3000), min_size=1, max_size=6), st.floats(0, 0.9)),
    min_size=1,
    max_size=3,
).map(
    lambda units: board(
        *(
            cpu(f"u{k}", cores, tuple(map(float, sorted(mhz))), memory_share=share)
            for k, (cores, mhz, share) in enumerate(units)
        )
    )
)
ladders = st.lists(
    st.tuples(
        st.builds(
            lambda samples_ms, share: replace(service(samples_ms), memory_share=share),
            st.lists(st.floats(0.5, 50), min_size=1, max_size=8),
            st.none() | st.floats(0, 1),
        )
    ),
    min_size=1,
    max_size=4,
).map(lambda rungs: ladder(*rungs))
arrival_models = st.builds(
    ArrivalModel,
    kind=st.sampled_from(["periodic", "poisson", "saturate"]),
    rate_hz=st.floats(0, 200),
    jitter_ms=st.floats(0, 20),
)


@given(board=boards, profile=ladders, arrivals=arrival_models, slo=st.floats(0.01, 1), ratio=st.floats(0.1, 10))
def test_every_point_says_what_it_is_defined_to_and_the_solver_takes_it(
    board: Board, profile: Profile, arrivals: ArrivalModel, slo: float, ratio: float
) -> None:
    points = operating_points(board, profile, app="a", arrivals=arrivals, slo=slo, service_ratio=ratio)
    every = {(rung.subnet, unit.name, 1, mhz) for rung in profile.rungs for unit in board.units for mhz in unit.mhz}
    kept = [(p.subnet, p.unit, p.cores, p.mhz) for p in points]
    assert len(kept) == len(set(kept))
    loads = {key: arrivals.rate_hz / 1000 * mean_ms(board, profile, key, ratio) for key in every}
    light = {key for key, load in loads.items() if load <= 0.9 + 1e-9 or arrivals.kind == "saturate"}
    assert set(kept) == (light or every)
    for key, point in zip(kept, points, strict=True):
        unit = board.unit(point.unit)
        assert point.service_ms == pytest.approx(mean_ms(board, profile, key, ratio))
        assert unit.dynamic_w is not None
        assert point.energy_mj == pytest.approx(unit.dynamic_w[unit.mhz.index(point.mhz)] * point.busy_ms)
        time = profile.service(point.subnet, "cpu", 1)
        quantile_ms = time.quantile_ms(slo) / unit.pace(point.mhz, time.memory_share) * ratio
        assert point.latency_ms >= quantile_ms * (1 - 1e-9)
        if arrivals.kind == "saturate":
            assert point.latency_ms == pytest.approx(quantile_ms)
    demand = Demand(app="a", rate_hz=arrivals.rate_hz, target_ms=50, min_accuracy=0, weight=1, points=points)
    units = tuple(
        Unit(name=unit.name, kind="cpu", cores=unit.cores, mhz=unit.mhz, static_w=unit.static_w or ())
        for unit in board.units
    )
    Problem(units=units, demands=(demand,))  # raises where a point is not well formed


def mean_ms(board: Board, profile: Profile, key: tuple[str, str, int, float], ratio: float) -> float:
    subnet, unit, cores, mhz = key
    time = profile.service(subnet, "cpu", cores)
    return time.mean_ms / board.unit(unit).pace(mhz, time.memory_share) * ratio


@given(
    samples_ms=st.lists(st.floats(0.5, 50), min_size=1, max_size=8),
    arrivals=arrival_models,
    slo=st.floats(0.01, 1),
    tops=st.tuples(st.floats(1, 10), st.floats(1, 10)),
    rates_hz=st.tuples(st.floats(0.1, 200), st.floats(0.1, 200)),
)
def test_a_faster_clock_a_lower_rate_and_a_lower_slo_never_lengthen_the_response(
    samples_ms: list[float],
    arrivals: ArrivalModel,
    slo: float,
    tops: tuple[float, float],
    rates_hz: tuple[float, float],
) -> None:
    profile = ladder((service(samples_ms),))

    def latency_ms(speed: float, rate_hz: float, slo: float) -> float:
        (point,) = operating_points(
            board(cpu(speed=speed)), profile, app="a", arrivals=replace(arrivals, rate_hz=rate_hz), slo=slo
        )
        return point.latency_ms * (1 + 1e-9)

    slow, fast = sorted(tops)
    few_hz, many_hz = sorted(rates_hz)
    assert latency_ms(fast, many_hz, slo) <= latency_ms(slow, many_hz, slo) * (1 + 1e-6)
    # With another rate the jitter is another part of the period, which has a table with draws of its own.
    noise = 0.02 if arrivals.kind == "periodic" and arrivals.jitter_ms else 1e-6
    assert latency_ms(fast, few_hz, slo) <= latency_ms(fast, many_hz, slo) * (1 + noise)
    assert latency_ms(fast, few_hz, slo / 2) <= latency_ms(fast, few_hz, slo) * (1 + 1e-6)


def test_periodic_response_is_that_of_service_while_none_exceeds_the_period() -> None:
    samples_ms = [8.0, 9.0, 10.0, 19.0]
    # At 1500 MHz the longest takes 25 of 20 ms, and only there something waits.
    arrivals = ArrivalModel(kind="periodic", rate_hz=50)
    unit = cpu(mhz=(1500.0, 2000.0))
    slow, fast = operating_points(board(unit), ladder((service(samples_ms),)), app="a", arrivals=arrivals, slo=0.95)
    assert fast.latency_ms == pytest.approx(19)
    assert slow.latency_ms > 19 * 4 / 3 * 1.01
    assert lone_point(samples_ms, ArrivalModel(kind="periodic", rate_hz=50), 0.75).latency_ms == pytest.approx(10)
    assert lone_point(samples_ms, ArrivalModel(kind="periodic", rate_hz=50), 0.95).latency_ms == pytest.approx(19)


def test_an_overloaded_app_keeps_all_its_points_and_the_faster_are_priced_lower() -> None:
    unit = cpu(mhz=(500.0, 1000.0, 2000.0))
    for kind in ("periodic", "poisson"):
        arrivals = ArrivalModel(kind=kind, rate_hz=1000)
        points = operating_points(board(unit), ladder((service([10]),)), app="a", arrivals=arrivals, slo=1.0)
        assert [p.mhz for p in points] == [500, 1000, 2000]
        assert points[0].latency_ms > points[1].latency_ms > points[2].latency_ms
        # A queue that grows without end must not look like one that keeps up.
        assert 100 * points[2].busy_ms < points[2].latency_ms < math.inf


def test_a_point_at_nine_tenths_of_its_time_is_kept_and_one_above_is_left_out() -> None:
    units = board(cpu("slow", speed=0.5), cpu("fast", speed=1.0))
    profile = ladder((service([30.0]),), (service([30.1]),))
    points = operating_points(units, profile, app="a", arrivals=ArrivalModel(kind="periodic", rate_hz=30), slo=0.95)
    assert [(p.subnet, p.unit) for p in points] == [("s0", "fast")]


def test_points_in_a_gear_are_those_that_differ_in_their_clock_alone() -> None:
    units = board(cpu("slow", cores=2, mhz=(500.0, 1000.0)), cpu("fast", cores=2, mhz=(1000.0, 2000.0)))
    profile = ladder((service([3.0]), service([2.0], cores=2)), (service([5.0]),))
    points = operating_points(units, profile, app="a", arrivals=CLOSED, slo=0.95)
    gears = {(p.subnet, p.unit, p.cores) for p in points}
    assert len(gears) == 6
    for subnet, unit, cores in gears:
        gear = points.in_gear(subnet, unit, cores)
        assert gear == tuple(p for p in points if (p.subnet, p.unit, p.cores) == (subnet, unit, cores))
        assert len(gear) == 2
    for missing in (("s9", "slow", 1), ("s0", "gone", 1), ("s0", "slow", 3)):
        assert not points.in_gear(*missing)


def test_a_point_is_the_same_however_it_is_looked_at() -> None:
    made = operating_points(board(cpu(mhz=(500.0, 1000.0))), ladder((service([3.0]),)), app="a", arrivals=CLOSED, slo=1)
    first, last = made[0], made[-1]
    assert list(made) == [first, last] == [made[0], made[1]]
    assert made[:1] == (first,) != made
    assert Points.of(p for p in made) == made
    assert hash(Points.of(made[:])) == hash(made)
    with pytest.raises(IndexError):
        made[2]


@pytest.mark.parametrize("field", ["latency_ms", "energy_mj", "service_ms", "mhz", "accuracy"])
def test_a_figure_that_no_point_can_have_is_refused_in_a_table_too(field: str) -> None:
    point = OperatingPoint(
        subnet="s", unit="u", cores=1, mhz=1.0, latency_ms=2.0, energy_mj=3.0, accuracy=0.5, service_ms=1.0
    )
    table = PointTable.of([point, point])
    row = ["cores", "mhz", "latency_ms", "service_ms", "energy_mj", "accuracy"].index(field)
    for value in (math.nan, math.inf, -1.0):
        columns = table.columns.copy()
        columns[row, 1] = value
        with pytest.raises(ProblemError, match=field):
            Points(replace(table, columns=columns))


def test_points_are_read_into_columns_once_for_all_demands() -> None:
    points = operating_points(board(cpu()), ladder((service([1]),)), app="a", arrivals=CLOSED, slo=0.95)
    one, other = (
        Demand(app=app, rate_hz=rate, target_ms=10.0, min_accuracy=0.5, weight=1.0, points=points)
        for app, rate in (("a", 1.0), ("b", 2.0))
    )
    assert one.table is other.table
    # What is no `Points` yet becomes so.
    assert Points.of(list(points)) == tuple(points) == points


# ---------------------------------------------------------------- refusals


def test_a_floor_refuses_a_sub_network_of_unknown_accuracy_by_name() -> None:
    unknown = ladder((service([1]),), accuracy=None)
    check_accuracy(unknown, app="gate", min_accuracy=0)
    (point,) = operating_points(board(cpu()), unknown, app="gate", arrivals=CLOSED, slo=0.95)
    assert point.accuracy == 0.0
    with pytest.raises(PointsError, match=r"'gate'.*0\.8.*'s0' of 'plates' is unknown"):
        operating_points(board(cpu()), unknown, app="gate", arrivals=CLOSED, slo=0.95, min_accuracy=0.8)


def test_a_board_that_nothing_was_profiled_for_is_refused() -> None:
    with pytest.raises(PointsError, match=r"'gate'.*'plates' was not profiled for any unit of board 'bench'"):
        operating_points(board(cpu()), ladder((service([1], kind="gpu"),)), app="gate", arrivals=CLOSED, slo=0.95)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"slo": 0.0}, r"slo is 0\.0; it must be above 0 and at most 1"),
        ({"slo": 1.01}, r"slo is 1\.01"),
        ({"service_ratio": math.nan}, r"service_ratio is nan"),
        ({"service_ratio": 0.0}, r"service_ratio is 0\.0"),
        ({"margin": -0.1}, r"margin is -0\.1"),
    ],
)
def test_figures_out_of_range_are_refused(given: dict[str, float], message: str) -> None:
    with pytest.raises(PointsError, match=message):
        operating_points(board(cpu()), ladder((service([1]),)), app="a", arrivals=CLOSED, **{"slo": 0.95, **given})


def test_arrivals_out_of_range_are_refused() -> None:
    with pytest.raises(PointsError, match=r"kind is 'poison'.*Did you mean 'poisson'\?"):
        ArrivalModel(kind="poison", rate_hz=1)  # type: ignore[arg-type]
    with pytest.raises(PointsError, match=r"rate_hz is inf"):
        ArrivalModel(kind="poisson", rate_hz=math.inf)
    with pytest.raises(PointsError, match=r"jitter_ms is -1"):
        ArrivalModel(kind="periodic", rate_hz=1, jitter_ms=-1)
