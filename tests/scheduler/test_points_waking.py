"""Waking up from an idle state is part of an operating point's service and response."""

import math

import pytest

from scheduler.board import Board, BoardUnit
from scheduler.idle_state import IdleState
from scheduler.points import ArrivalModel, operating_points
from scheduler.profile import Profile, RungProfile, ServiceTime

CLOSED = ArrivalModel(kind="saturate")
TIME = ServiceTime(kind="cpu", cores=1, samples_ms=(10.0,))
RUNG = RungProfile(subnet="s", accuracy=0.9, accuracy_source="measured", times=(TIME,))
PROFILE = Profile(supernet="plates", machine="host", rungs=(RUNG,))


def cpu(name: str = "big", idle_states: tuple[IdleState, ...] = ()) -> BoardUnit:
    return BoardUnit(
        name=name,
        kind="cpu",
        cpus=(0,),
        dvfs="emulated",
        mhz=(2000.0,),
        static_w=(0.4,),
        dynamic_w=(2.0,),
        idle_states=idle_states,
    )


def board(*units: BoardUnit) -> Board:
    return Board(name="bench", units=units, base_w=None, sensor="none", power_source="made up")


SLEEPS = (IdleState(residency_us=20_000, exit_us=500), IdleState(residency_us=60_000, exit_us=2000))


@pytest.mark.parametrize(
    ("arrivals", "mean_ms", "quantile_ms"),
    [
        (CLOSED, 0.0, 0.0),
        (ArrivalModel(kind="periodic", rate_hz=40.0), 0.0, 0.0),  # idle for 15 ms
        (ArrivalModel(kind="periodic", rate_hz=20.0), 0.5, 0.5),  # idle for 40 ms
        (ArrivalModel(kind="periodic", rate_hz=10.0), 2.0, 2.0),  # idle for 90 ms
        (ArrivalModel(kind="periodic"), 2.0, 2.0),
        # 0.8 of the requests find it idle; exp(-0.4) of these for 20 ms, exp(-1.2) for 60 ms.
        (ArrivalModel(kind="poisson", rate_hz=20.0), 0.8 * (0.5 * math.exp(-0.4) + 1.5 * math.exp(-1.2)), 2.0),
        # exp(-4.2) of a share of 0.3 is rarer than one in twenty: the quantile has only the first state's latency.
        (ArrivalModel(kind="poisson", rate_hz=70.0), 0.3 * (0.5 * math.exp(-1.4) + 1.5 * math.exp(-4.2)), 0.5),
    ],
)
def test_waking_up_is_part_of_service_and_response(arrivals: ArrivalModel, mean_ms: float, quantile_ms: float) -> None:
    awake, drowsy = (
        operating_points(board(cpu(idle_states=states)), PROFILE, app="a", arrivals=arrivals, slo=0.95)
        for states in ((), SLEEPS)
    )
    assert drowsy[0].busy_ms - awake[0].busy_ms == pytest.approx(mean_ms)
    assert drowsy[0].latency_ms - awake[0].latency_ms == pytest.approx(quantile_ms)


def test_idle_states_of_one_unit_do_not_delay_another() -> None:
    drowsy, awake = cpu("drowsy", idle_states=SLEEPS), cpu("awake")
    points = operating_points(board(drowsy, awake), PROFILE, app="a", arrivals=ArrivalModel(kind="periodic"), slo=0.95)
    assert {point.unit: point.busy_ms for point in points} == {"drowsy": 12.0, "awake": 10.0}
