"""The model of contention agrees with a naive schedule, with queues of known answers, and with plain reason."""

import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.requests.turns import next_turn, urgency
from scheduler import contention
from scheduler.contention import WAKE_MS, Sharer, response_quantiles_ms, wait_shares
from scheduler.points import ArrivalModel, response_quantile_ms
from scheduler.profile import ServiceTime
from scheduler.taking_turns import quantile_of_sums, serve


def sharer(
    service_ms: float | Sequence[float],
    hz: float = 10.0,
    *,
    kind: str = "periodic",
    target_ms: float = 100.0,
    slo: float = 0.95,
    jitter_ms: float = 0.0,
    cpus: tuple[int, ...] = (0,),
    phase_ms: float | None = None,
) -> Sharer:
    samples_ms = (service_ms,) if isinstance(service_ms, int | float) else tuple(sorted(service_ms))
    return Sharer(
        time=ServiceTime(kind="cpu", cores=len(cpus), samples_ms=samples_ms),
        stretch=1.0,
        arrivals=ArrivalModel(kind=kind, rate_hz=hz, jitter_ms=jitter_ms),  # type: ignore[arg-type]
        target_ms=target_ms,
        slo=slo,
        cpus=cpus,
        phase_ms=phase_ms,
    )


def alone_ms(one: Sharer) -> float:
    return float(response_quantile_ms(one.time, np.array([one.stretch]), arrivals=one.arrivals, slo=one.slo)[0])


# ---------------------------------------------------------------- the schedule


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request as the rule of worker and simulator knows it."""

    deadline_s: float
    slot: int
    mask: int


def ticked(requests: list[list[tuple[int, int]]], targets: list[int], masks: list[int]) -> list[float]:
    """Serve requests of (arrival, service) in whole milliseconds, looking at everything in each of them."""
    starts: list[list[int]] = [[] for _ in requests]
    ends = [0] * len(requests)
    total = sum(map(len, requests))
    now = 0
    while sum(map(len, starts)) < total:
        held = sum(masks[app] for app in range(len(requests)) if ends[app] > now)
        while True:
            waiting = [
                Waiting(requests[app][len(starts[app])][0] + targets[app], app, masks[app])
                for app in range(len(requests))
                if ends[app] <= now
                and len(starts[app]) < len(requests[app])
                and requests[app][len(starts[app])][0] <= now
            ]
            chosen = next_turn(sorted(waiting, key=urgency), held)
            if chosen is None:
                break
            ends[chosen.slot] = now + requests[chosen.slot][len(starts[chosen.slot])][1]
            starts[chosen.slot].append(now)
            held |= chosen.mask
        now += 1
    return [
        float(start - arrival)
        for app, found in enumerate(starts)
        for start, (arrival, _) in zip(found, requests[app], strict=True)
    ]


requests_of_one = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 15)), min_size=1, max_size=8).map(sorted)


@given(
    apps=st.lists(st.tuples(requests_of_one, st.integers(1, 60), st.integers(1, 7)), min_size=1, max_size=5),
)
def test_requests_are_served_as_worker_and_simulator_serve_them(
    apps: list[tuple[list[tuple[int, int]], int, int]],
) -> None:
    requests, targets, masks = (list(column) for column in zip(*apps, strict=True))
    firsts = np.cumsum([0] + [len(one) for one in requests]).tolist()
    flat = [request for one in requests for request in one]
    asked = (
        np.array(firsts),
        np.array([float(arrival) for arrival, _ in flat]),
        np.array([float(service) for _, service in flat]),
        np.zeros(len(flat)),
        np.array(targets, dtype=float),
        np.array(masks),
        np.zeros(len(requests), dtype=bool),
        math.inf,
    )
    found = serve(*asked).tolist()
    assert found == ticked(requests, targets, masks)
    assert found == serve.py_func(*asked).tolist()  # type: ignore[attr-defined]


def test_a_closed_loop_goes_on_until_the_end() -> None:
    tens, ones = np.full(9, 10.0), np.ones(9)
    found = serve(np.array([0, 9]), 0 * ones, tens, ones, np.array([50.0]), np.array([1]), np.array([True]), 30.0)
    # It claims at 1, 12 and 23 ms, and again after the end at 33 ms no more.
    assert found[:3].tolist() == [0.0, 0.0, 0.0]
    assert np.isnan(found[3:]).all()


numbers = st.lists(st.sampled_from([0.0, 0.1, 1.0, 1.5, 7.0, 1e9]) | st.floats(0, 100), min_size=1, max_size=12).map(
    sorted
)


@given(ones=numbers, others=numbers, data=st.data())
def test_a_quantile_of_sums_is_that_of_all_of_them(ones: list[float], others: list[float], data: st.DataObject) -> None:
    sums = sorted(one + other for one in ones for other in others)
    count = data.draw(st.integers(1, len(sums)))
    for find in (quantile_of_sums, quantile_of_sums.py_func):  # type: ignore[attr-defined]
        assert find(np.array(ones), np.array(others), count) == sums[count - 1]


@pytest.mark.parametrize("cpus", [1, 2])
def test_compiled_and_plain_give_the_same_bits(cpus: int) -> None:
    rng = np.random.default_rng(cpus)
    apps, each = 4, 300
    asked = (
        np.arange(apps + 1) * each,
        np.sort(rng.uniform(0, 10_000, (apps, each)), axis=1).ravel(),
        rng.gamma(4, 1.5, apps * each),
        rng.uniform(0.1, 0.4, apps * each),
        np.array([10.0, 30.0, 30.0, 300.0]),
        np.array([1, 2, 3, 1]) if cpus == 2 else np.ones(apps, dtype=int),
        np.array([False, False, False, True]),
        10_000.0,
    )
    plain_ms = serve.py_func(*asked)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(serve(*asked), plain_ms)
    assert np.nanmax(plain_ms) > 20


def test_nothing_is_compiled_after_warming_up() -> None:
    contention.warm()
    before = [len(one.signatures) for one in (serve, quantile_of_sums)]  # type: ignore[attr-defined]
    loop = sharer([3.0, 4.0], 0.0, kind="saturate", cpus=(0, 1))
    response_quantiles_ms([sharer(20, 10), sharer([10.0, 12.0], 7, kind="poisson"), loop, sharer(5, 3, cpus=(1,))])
    assert [len(one.signatures) for one in (serve, quantile_of_sums)] == before  # type: ignore[attr-defined]


def test_the_model_is_imported_without_a_compiler() -> None:
    code = "import sys, scheduler.contention, scheduler.policies; print('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


# ---------------------------------------------------------------- reason

sharers = st.builds(
    sharer,
    st.lists(st.floats(2, 30), min_size=1, max_size=5),
    st.floats(0.5, 12),
    kind=st.sampled_from(["periodic", "poisson", "saturate"]),
    target_ms=st.floats(10, 300),
    slo=st.floats(0.8, 0.99),
    jitter_ms=st.floats(0, 50),
    phase_ms=st.none() | st.floats(0, 1000),
)


@given(one=sharers)
def test_who_is_alone_gets_what_its_points_say(one: Sharer) -> None:
    assert response_quantiles_ms([one]) == (alone_ms(one),)
    beside = replace(one, cpus=(1,))
    assert response_quantiles_ms([one, beside]) == (alone_ms(one), alone_ms(one))


@settings(max_examples=20)
@given(group=st.lists(sharers, min_size=2, max_size=4))
def test_nobody_gets_less_than_alone_and_the_answer_is_the_same_again(group: list[Sharer]) -> None:
    found_ms = response_quantiles_ms(group)
    assert all(found >= alone_ms(one) for found, one in zip(found_ms, group, strict=True))
    assert response_quantiles_ms(list(group)) == found_ms


@pytest.mark.parametrize("kind", ["periodic", "poisson"])
@pytest.mark.parametrize("other", ["periodic", "poisson"])
def test_more_load_beside_it_never_makes_a_request_quicker(kind: str, other: str) -> None:
    one = sharer([18.0, 20.0, 25.0], 10, kind=kind)
    by_service = [response_quantiles_ms([one, sharer(ms, 7, kind=other)])[0] for ms in (5, 10, 20, 30, 40, 50)]
    by_rate = [response_quantiles_ms([one, sharer(20, hz, kind=other)])[0] for hz in (1, 3, 7, 13, 19, 26)]
    for found_ms in (by_service, by_rate):
        assert all(more >= 0.97 * less for less, more in pairwise(found_ms))
        assert found_ms[-1] > 1.3 * found_ms[0]


@given(slo=st.floats(0.8, 0.97))
def test_a_neighbour_that_hardly_ever_comes_makes_no_difference(slo: float) -> None:
    one = sharer([18.0, 20.0, 25.0], 10, slo=slo)
    found_ms = response_quantiles_ms([one, sharer(50, 0.1, kind="poisson")])[0]
    assert found_ms <= alone_ms(one) + 1.5 * WAKE_MS


def test_an_application_without_requests_is_no_neighbour() -> None:
    one = sharer(20, 10)
    assert response_quantiles_ms([one, sharer(50, 0.0, kind="poisson")])[0] == alone_ms(one)


# ---------------------------------------------------------------- known answers


def test_known_phases_say_who_meets_whom() -> None:
    # Both come ten times a second and take 20 ms. Half a period apart they never meet.
    first, apart = sharer(20, 10, phase_ms=0.0, target_ms=50), sharer(20, 10, phase_ms=50.0)
    assert response_quantiles_ms([first, apart]) == pytest.approx((20, 20), abs=1.5 * WAKE_MS)
    # 10 ms apart the second always waits for half a service.
    assert response_quantiles_ms([first, replace(apart, phase_ms=10.0)])[1] == pytest.approx(30, abs=1.5 * WAKE_MS)
    # Where phases are not known, one in five meets, and each remainder is as likely as the others.
    unknown = response_quantiles_ms([replace(first, phase_ms=None), replace(apart, phase_ms=None)])
    assert unknown == pytest.approx((35, 35), abs=0.5)


@pytest.mark.parametrize("hz", [(5.0, 5.0), (10.0, 15.0), (20.0, 5.0)])
def test_two_poisson_applications_alike_are_one_of_both_rates(
    hz: tuple[float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    # With one target the earliest deadline is the first to come, and the sum of Poisson arrivals is Poisson. Workers
    # that take time to wake up change that: the next request of the same application then comes too late for its turn.
    monkeypatch.setattr(contention, "WAKE_MS", 0.0)
    both = [sharer(20, one, kind="poisson") for one in hz]
    together_ms = alone_ms(sharer(20, sum(hz), kind="poisson"))
    assert response_quantiles_ms(both) == pytest.approx((together_ms, together_ms), rel=0.08)


def test_the_urgent_wait_for_one_service_at_most() -> None:
    patient = [sharer(10, 20, kind="poisson", target_ms=1000) for _ in range(3)]
    urgent = sharer(5, 5, target_ms=20, slo=1.0)
    found_ms = response_quantiles_ms([urgent, *patient])
    assert 5 + 9 <= found_ms[0] <= 5 + 10 + 1.5 * WAKE_MS
    assert min(found_ms[1:]) > 25


def test_beside_a_closed_loop_a_request_waits_for_what_is_left_of_a_service() -> None:
    one, loop = sharer(20, 7, target_ms=50, slo=0.9), sharer(10, 0.0, kind="saturate", target_ms=500)
    assert response_quantiles_ms([one, loop])[0] == pytest.approx(20 + 9, abs=1)


def test_a_request_for_two_cpus_waits_for_both() -> None:
    wide = sharer(10, 5, cpus=(0, 1), target_ms=50)
    left, right = (sharer(15, 20, kind="poisson", cpus=(cpu,), target_ms=200) for cpu in (0, 1))
    one, both = response_quantiles_ms([wide, left])[0], response_quantiles_ms([wide, left, right])[0]
    assert 10 < one < both
    # The two beside it wait for it, and through it for each other.
    assert response_quantiles_ms([wide, left, right])[1] >= response_quantiles_ms([left])[0]


# ---------------------------------------------------------------- the linear form


@settings(max_examples=20)
@given(group=st.lists(sharers, min_size=2, max_size=4))
def test_shares_of_waiting_give_the_quantiles_again(group: list[Sharer]) -> None:
    apart = sharer(20, 10, cpus=(5,))
    everybody = [*group, apart]
    shares = wait_shares(everybody)
    assert shares[-1] == 0.0
    for place, (one, found_ms) in enumerate(zip(group, response_quantiles_ms(everybody), strict=False)):
        others_ms = sum(other.time.mean_ms for at, other in enumerate(group) if at != place)
        assert alone_ms(one) + shares[place] * others_ms == pytest.approx(found_ms)
