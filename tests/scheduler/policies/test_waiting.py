"""The waiting that plans count on is that of the model of contention, whatever the points and CPUs."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.snapshots import BIG, LITTLE, make_snapshot, make_view
from scheduler.app_knowledge import MARGIN
from scheduler.board import Board, BoardUnit
from scheduler.contention import WAKE_MS, response_quantiles_ms
from scheduler.points import ArrivalModel, operating_points, planned_share
from scheduler.policies.waiting import sharers_of, wait_shares_of
from scheduler.problem import OperatingPoint
from scheduler.profile import Profile, RungProfile, ServiceTime
from scheduler.views import AppView, Snapshot

GPU = BoardUnit(name="gpu", kind="gpu", cpus=(), dvfs="emulated", mhz=(500.0,), static_w=None, dynamic_w=None)
CPUS = tuple(
    BoardUnit(
        name=unit.name,
        kind="cpu",
        cpus=unit.cpus_online,
        dvfs="emulated",
        mhz=unit.mhz_allowed,
        static_w=unit.static_w,
        dynamic_w=unit.dynamic_w,
        speed=unit.capacity,
    )
    for unit in (BIG, LITTLE)
)
BOARD = Board(name="b", units=(*CPUS, GPU), base_w=None, sensor="none", power_source="unknown")


def view(
    app: str,
    service_ms: float = 20.0,
    hz: float = 10.0,
    *,
    kind: str = "periodic",
    slo: float = 0.95,
    spread: float = 0.0,
    margin: float = 0.0,
    service_ratio: float = 1.0,
    target_ms: float = 100.0,
    phase_ms: float | None = None,
) -> AppView:
    """Return an application whose larger network takes twice as long as its smaller one."""

    def time(kind: str, cores: int, ms: float) -> ServiceTime:
        samples = np.linspace(1 - spread, 1 + spread, 20 if spread else 1) * ms / cores**0.8
        return ServiceTime(kind=kind, cores=cores, samples_ms=tuple(samples.tolist()))

    rungs = tuple(
        RungProfile(
            subnet=subnet,
            accuracy=accuracy,
            accuracy_source="measured",
            times=(*(time("cpu", cores, ms) for cores in (1, 2)), time("gpu", 1, ms / 2)),
        )
        for subnet, ms, accuracy in (("small", service_ms, 0.6), ("large", 2 * service_ms, 0.9))
    )
    profile = Profile(supernet=app, machine="m", rungs=rungs)
    points = operating_points(
        BOARD,
        profile,
        app=app,
        arrivals=ArrivalModel(kind=kind, rate_hz=hz),  # type: ignore[arg-type]
        slo=planned_share(slo),
        service_ratio=service_ratio,
        margin=MARGIN + margin,
    )
    return make_view(
        app,
        target_ms=target_ms,
        slo=slo,
        rate_hz=hz,
        arrivals=kind,
        phase_ms=phase_ms,
        margin=margin,
        service_ratio=service_ratio,
        profile=profile,
        points=points,
    )


GPU_VIEW = replace(BIG, name="gpu", kind="gpu", cpus_online=(0,), mhz_allowed=(500.0,), static_w=None, dynamic_w=None)


def snapshot_of(*views: AppView) -> Snapshot:
    return make_snapshot(*views, units=(BIG, LITTLE, GPU_VIEW))


def at(one: AppView, unit: str, cores: int = 1, *, subnet: str = "small") -> OperatingPoint:
    """Return the point of a gear at the unit's top clock."""
    points = [p for p in one.points if (p.subnet, p.unit, p.cores) == (subnet, unit, cores)]
    return max(points, key=lambda point: point.mhz)


def effective_ms(
    snapshot: Snapshot, choice: dict[str, OperatingPoint], cpus: dict[str, tuple[int, ...]]
) -> dict[str, float]:
    """Return the latencies of the linear form, spelled out."""
    shares = wait_shares_of(snapshot, choice, cpus)
    on_gpu = {app for app, point in choice.items() if point.unit == "gpu"}
    found_ms = {}
    for app, point in choice.items():
        beside_ms = [
            other.busy_ms
            for name, other in choice.items()
            if name != app and other.unit == point.unit and (app in on_gpu or set(cpus[name]) & set(cpus[app]))
        ]
        found_ms[app] = point.latency_ms + shares[app] * sum(beside_ms)
    return found_ms


views = st.builds(
    view,
    st.just("?"),
    st.floats(2, 25),
    st.floats(0.5, 10),
    kind=st.sampled_from(["periodic", "poisson", "saturate"]),
    slo=st.floats(0.8, 0.99),
    spread=st.sampled_from([0.0, 0.3]),
    margin=st.floats(0, 0.2),
    service_ratio=st.floats(0.8, 1.3),
    target_ms=st.floats(30, 300),
    phase_ms=st.none() | st.floats(0, 1000),
)


@settings(max_examples=40)
@given(drawn=st.lists(views, min_size=1, max_size=5), data=st.data())
def test_the_linear_form_gives_the_quantile_with_the_margin_of_the_points(
    drawn: list[AppView], data: st.DataObject
) -> None:
    apps = [replace(one, app=f"a{place}") for place, one in enumerate(drawn)]
    snapshot = snapshot_of(*apps)
    choice = {one.app: data.draw(st.sampled_from(one.points)) for one in apps}
    sets = [(0,), (1,), (0, 1)]
    cpus = {app: data.draw(st.sampled_from([s for s in sets if len(s) == p.cores])) for app, p in choice.items()}
    found_ms = effective_ms(snapshot, choice, cpus)
    for unit in ("big", "little", "gpu"):
        sharers = sharers_of(snapshot, choice, cpus, unit)
        assert list(sharers) == [app for app in choice if choice[app].unit == unit]
        quantiles_ms = response_quantiles_ms(list(sharers.values()))
        for (app, sharer), quantile_ms in zip(sharers.items(), quantiles_ms, strict=True):
            one = next(view for view in apps if view.app == app)
            assert sharer.time.mean_ms * sharer.stretch == pytest.approx(choice[app].busy_ms)
            assert found_ms[app] == pytest.approx((1 + MARGIN + one.margin) * quantile_ms)


def test_two_cameras_on_a_cpu_meet_one_time_in_five() -> None:
    one, other = view("one"), view("other")
    snapshot, choice = snapshot_of(one, other), {"one": at(one, "big"), "other": at(other, "big")}
    # A share of (20 - w) / 100 of the requests waits longer than w: 2.5 % do so for w = 17.5 ms.
    shares = wait_shares_of(snapshot, choice, {"one": (0,), "other": (0,)})
    assert shares == pytest.approx({"one": 1.05 * 0.875, "other": 1.05 * 0.875}, abs=0.03)
    assert wait_shares_of(snapshot, choice, {"one": (0,), "other": (1,)}) == {"one": 0.0, "other": 0.0}


def test_known_phases_count() -> None:
    one, apart = view("one", phase_ms=25_000.0), view("apart", phase_ms=50.0)
    cpus = {"one": (1,), "apart": (1,)}
    choice = {"one": at(one, "big"), "apart": at(apart, "big")}
    shares = wait_shares_of(snapshot_of(one, apart), choice, cpus)
    assert max(shares.values()) * 20 <= 1.05 * 1.5 * WAKE_MS
    late = replace(apart, phase_ms=10.0)
    shares = wait_shares_of(snapshot_of(one, late), choice, cpus)
    assert shares["apart"] * 20 == pytest.approx(1.05 * 10, abs=1.05 * 1.5 * WAKE_MS)


def test_on_a_gpu_everybody_shares_and_on_another_unit_nobody() -> None:
    one, two, three = (view(name) for name in ("one", "two", "three"))
    choice = {"one": at(one, "gpu"), "two": at(two, "gpu"), "three": at(three, "big")}
    shares = wait_shares_of(snapshot_of(one, two, three), choice, {"one": (), "two": (), "three": (0,)})
    assert shares["one"] > 0.5
    assert shares["two"] > 0.5
    assert shares["three"] == 0.0


def test_who_asks_for_another_network_stretches_the_time_of_that_one() -> None:
    one = view("one", service_ratio=1.2)
    found = sharers_of(snapshot_of(one), {"one": at(one, "little", 2, subnet="large")}, {"one": (2, 3)}, "little")
    assert found["one"].time.mean_ms == pytest.approx(40 / 2**0.8)
    assert found["one"].stretch == pytest.approx(1.2 / 0.5)
    assert (found["one"].cpus, found["one"].slo) == ((2, 3), 0.975)


def test_the_service_time_of_a_view_without_a_profile_is_taken_to_be_constant() -> None:
    bare = make_view("bare", rate_hz=1.0)
    point = bare.points[0]
    (sharer,) = sharers_of(make_snapshot(bare), {"bare": point}, {"bare": (0,)}, point.unit).values()
    assert (sharer.time.samples_ms, sharer.stretch) == ((point.busy_ms,), 1.0)
