"""A mix gives each application its targets and arrivals, and a wrong one is refused with field, value and fix."""

import json
import math
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.small_mixes import app, mix
from scheduler.errors import InputError
from workloads.mix.app import App
from workloads.mix.arrivals import Periodic, Poisson, Trace
from workloads.mix.errors import MixError
from workloads.mix.events import AppChange, MixEvent, at
from workloads.mix.mix import Mix, Presence, Target


def car_park() -> Mix:
    return Mix(
        name="car-park",
        duration_s=40,
        apps=[
            App(
                "entrance",
                supernet="ofa-plates",
                arrivals=Periodic(hz=15),
                latency_ms=60,
                min_accuracy=0.80,
                weight=2,
            ),
            App("garage", supernet="ofa-plates", arrivals=Poisson(hz=5), latency_ms=150, min_accuracy=0.70),
        ],
        events=[
            at(30, "entrance", min_accuracy=0.70),
            at(10, "entrance", latency_ms=30),
            at(20, unit="big", max_mhz=1400),
            at(25, add=App("yard", supernet="ofa-plates", arrivals=Periodic(hz=2), latency_ms=200)),
            at(35, remove="garage"),
        ],
    )


def test_the_car_park_reads_as_written() -> None:
    park = car_park()
    assert [event.at_s for event in park.events] == [10, 20, 25, 30, 35]
    entrance, garage = park.apps
    first = Target(from_s=0, latency_ms=60, min_accuracy=0.8, weight=2, slo=0.95)
    entrance_targets = (
        first,
        replace(first, from_s=10, latency_ms=30),
        replace(first, from_s=30, latency_ms=30, min_accuracy=0.7),
    )
    garage_targets = (Target(from_s=0, latency_ms=150, min_accuracy=0.7, weight=1, slo=0.95),)
    yard = app("yard", arrivals=Periodic(hz=2), latency_ms=200)
    yard_targets = (Target(from_s=25, latency_ms=200, min_accuracy=0, weight=1, slo=0.95),)
    assert park.all_apps() == (
        Presence(app=entrance, from_s=0, to_s=40, targets=entrance_targets),
        Presence(app=garage, from_s=0, to_s=35, targets=garage_targets),
        Presence(app=yard, from_s=25, to_s=40, targets=yard_targets),
    )
    assert park.targets_of("entrance") == entrance_targets
    assert park.targets_of("yard") == yard_targets
    assert (park.objective, park.power_cap_w, park.boards) == ("energy", None, ())
    assert pickle.loads(pickle.dumps(park)) == park
    assert pickle.loads(pickle.dumps(park)).all_apps() == park.all_apps()


def test_numbers_become_plain_floats_and_ints() -> None:
    gate = app(latency_ms=np.float32(60), weight=Fraction(1, 2), queue=np.int64(3), min_accuracy=0)
    event = at(np.int64(3), "gate", weight=np.float32(2))  # type: ignore[arg-type]
    assert isinstance(event, AppChange)
    assert json.loads(json.dumps([gate.latency_ms, gate.weight, gate.queue, event.at_s, event.changes])) == [
        60,
        0.5,
        3,
        3,
        {"weight": 2},
    ]
    assert [type(value) for value in (gate.latency_ms, gate.min_accuracy, gate.queue)] == [float, float, int]


changes = st.fixed_dictionaries(
    {},
    optional={
        "latency_ms": st.floats(min_value=1, max_value=1000),
        "min_accuracy": st.floats(min_value=0, max_value=1),
        "weight": st.floats(min_value=0.1, max_value=10),
        "slo": st.floats(min_value=0.5, max_value=1),
    },
).filter(bool)
# Few distinct times, so that several events often share one.
moments_s = st.integers(min_value=0, max_value=8).map(lambda k: k * 5.0)


@given(st.lists(st.tuples(moments_s, changes)))
def test_targets_are_the_fold_of_all_changes_so_far(timed: list[tuple[float, dict[str, float]]]) -> None:
    park = mix(*(at(at_s, "entrance", **given_) for at_s, given_ in timed))
    targets = park.targets_of("entrance")
    starts_s = [target.from_s for target in targets]
    assert starts_s == sorted({0.0} | {at_s for at_s, _ in timed if at_s < 40})
    for target in targets:
        expected = {"latency_ms": 60.0, "min_accuracy": 0.0, "weight": 1.0, "slo": 0.95}
        for at_s, given_ in sorted(timed, key=lambda pair: pair[0]):
            if at_s <= target.from_s:
                expected |= given_
        assert asdict(target) == {"from_s": target.from_s, **expected}
    assert len(park.targets_of("garage")) == 1


def test_a_change_at_the_very_end_of_an_app_has_no_time_to_act() -> None:
    park = mix(at(35, "garage", latency_ms=9), at(35, remove="garage"), at(40, "entrance", latency_ms=9))
    assert len(park.targets_of("garage")) == 1
    assert len(park.targets_of("entrance")) == 1


@given(
    seed=st.integers(min_value=0, max_value=2**40),
    hz=st.floats(min_value=0.1, max_value=50),
    jitter_ms=st.floats(min_value=0, max_value=100),
    from_s=st.floats(min_value=0.1, max_value=20),
    length_s=st.floats(min_value=0.1, max_value=19),
)
def test_arrivals_of_an_app_are_its_own(seed: int, hz: float, jitter_ms: float, from_s: float, length_s: float) -> None:
    one = app("one", arrivals=Periodic(hz=hz, jitter_ms=jitter_ms))
    two = app("two", arrivals=Poisson(hz=hz))
    late = app("late", arrivals=Poisson(hz=hz))
    to_s = from_s + length_s
    full = mix(at(from_s, add=late), at(to_s, remove="late"), apps=[one, two]).arrivals_s(seed)
    assert list(full) == ["one", "two", "late"]
    assert np.all((full["late"] >= from_s) & (full["late"] < to_s))
    for others in ([two], [two, app("other"), one]):
        alone = mix(at(3, "two", latency_ms=9), apps=others, objective="fair").arrivals_s(seed)
        np.testing.assert_array_equal(alone["two"], full["two"])
    cut = mix(at(from_s, remove="one"), apps=[one, two]).arrivals_s(seed)["one"]
    np.testing.assert_array_equal(cut, full["one"][full["one"] < from_s])


def test_arrivals_differ_by_seed_and_by_app() -> None:
    park = mix(apps=[app("one", arrivals=Poisson(5)), app("two", arrivals=Poisson(5))])
    assert park.arrivals_s(0)["one"][0] != park.arrivals_s(1)["one"][0]
    assert park.arrivals_s(0)["one"][0] != park.arrivals_s(0)["two"][0]


def test_a_trace_counts_from_the_moment_its_app_joins() -> None:
    park = mix(at(30, add=app("yard", arrivals=Trace([0, 2, 9, 10, 11]))), at(39, remove="yard"))
    assert park.arrivals_s(0)["yard"].tolist() == [30, 32]


def test_the_ends_of_the_ranges_belong_to_them() -> None:
    assert app(min_accuracy=1, slo=1, queue=1).min_accuracy == 1
    assert at(0, unit="big", busy=0, cores=1).at_s == 0
    assert at(0, unit="big", busy=1).at_s == 0


def test_noise_is_said_before_a_run() -> None:
    assert mix(noise=0).notices() == []
    (said,) = mix(noise=0.1).notices()
    assert said.startswith("noise=0.1: each service time is multiplied by a random factor")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mix(duration_s=0), r"mix 'park': duration_s must be above 0, not 0"),
        (lambda: mix(duration_s=math.inf), r"duration_s must be a finite number, not inf"),
        (
            lambda: mix(objective="enrgy"),
            r"objective must be one of .* not 'enrgy'\. Did you mean 'energy'\?",
        ),
        (lambda: mix(power_cap_w=-1), r"power_cap_w must be above 0, not -1"),
        (lambda: mix(boards="xavier-nx"), r"boards must be a list, not 'xavier-nx'"),
        (lambda: mix(boards=[3]), r"boards must hold \"NAME\" only, not 3"),
        (lambda: mix(noise=-0.1), r"mix 'park': noise must be between 0 and 10, not -0\.1"),
        (lambda: mix(noise=11), r"mix 'park': noise must be between 0 and 10, not 11"),
        (lambda: mix(noise=math.nan), r"mix 'park': noise must be a finite number, not nan"),
        (lambda: mix(noise="0.1"), r"mix 'park': noise must be a number, not '0\.1'\. Did you mean 0\.1\?"),
        (lambda: mix(noise=None), r"mix 'park': noise must be a number, not None"),
        (lambda: mix(apps=[]), r"apps is empty"),
        (lambda: mix(apps=app()), r"apps must be a list, not App\("),
        (lambda: mix(apps=["gate"]), r"apps must hold App\(\.\.\.\) only, not 'gate'"),
        (lambda: mix(apps=[app(), app()]), r"two apps are named 'gate'.*; rename one"),
        (lambda: mix(at(3, add=app("garage"))), r"two apps are named 'garage'"),
        (
            lambda: mix(at(3, remove="garage"), at(9, add=app("garage"))),
            r"two apps are named 'garage', those added later included",
        ),
        (lambda: mix(events=at(3, remove="garage")), r"events must be a list"),
        (lambda: mix(events=[(3, "garage")]), r"events must hold at\(\.\.\.\) only, not \(3, 'garage'\)"),
        (lambda: mix(at(41, ambient_c=30)), r"event at 41 s: the run ends at 40 s"),
        (
            lambda: mix(at(3, "garag", slo=1)),
            r"event at 3 s: there is no app 'garag'\. Did you mean 'garage'\?",
        ),
        (lambda: mix(at(3, remove="zzz")), r"there is no app 'zzz'\. Use one of: entrance, garage"),
        (
            lambda: mix(at(3, remove="garage"), at(9, remove="garage")),
            r"9 s: app 'garage' was removed at 3 s",
        ),
        (lambda: mix(at(3, remove="garage"), at(9, "garage", slo=1)), r"app 'garage' was removed at 3 s"),
        (lambda: mix(at(9, add=app("yard")), at(3, "yard", slo=1)), r"app 'yard' is added only later"),
        (lambda: mix(at(0, remove="garage")), r"app 'garage' is never there"),
        (lambda: mix(at(40, add=app("yard"))), r"app 'yard' is never there"),
        (
            lambda: mix(apps=[app(arrivals=Poisson(hz=1e9))]),
            r"app 'gate': hz=1000000000\.0 makes more than 10,000,000 requests in 40 s",
        ),
        (lambda: mix().targets_of("garag"), r"no app 'garag'\. Did you mean 'garage'\?"),
        (lambda: Mix("", apps=[app()], duration_s=3), r"mix: name must be a name, not ''"),
        (lambda: Mix("../../x", apps=[app()], duration_s=3), r"mix: name must be .* without '/', not '\.\./\.\./x'"),
        (lambda: Mix("a\0b", apps=[app()], duration_s=3), r"mix: name must be a name of printable characters"),
        (lambda: Mix("a\ud800", apps=[app()], duration_s=3), r"mix: name must be a name of printable characters"),
        (lambda: Mix("é" * 80, apps=[app()], duration_s=3), r"mix: name must have at most 150 bytes, not 160"),
        (lambda: app("a" * 250), r"app: name must have at most 150 bytes, not 250: 'aaa"),
        (lambda: mix(apps=np.array(1.0)), r"apps must be a list, not array\(1\.\)"),
    ],
)
def test_a_bad_mix_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(MixError, match=message):
        make()


def test_a_bad_seed_is_refused_and_not_blamed_on_the_mix() -> None:
    with pytest.raises(InputError, match=r"seed must be a whole number, not True") as caught:
        mix().arrivals_s(True)
    assert not isinstance(caught.value, MixError)


@dataclass(frozen=True, kw_only=True)
class Unit:
    name: str
    cores: int
    mhz: tuple[float, ...]


UNITS = [
    Unit(name="big", cores=2, mhz=(200.0, 1000.0, 2000.0)),
    Unit(name="little", cores=4, mhz=(200.0, 1400.0)),
]


def test_a_board_that_can_do_what_the_events_ask_is_accepted() -> None:
    mix(
        at(1, unit="big", max_mhz=200, cores=2),
        at(2, unit="little", max_mhz=9000, busy=0.4),
        at(3, unit="big", max_mhz=None, cores=None),
        at(4, power_cap_w=3),
    ).check_board(UNITS)


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (at(3, unit="bgi", busy=0.2), r"event at 3 s: the board has no unit 'bgi'\. Did you mean 'big'\?"),
        (at(3, unit="gpu0", busy=0.2), r"the board has no unit 'gpu0'\. Use one of: big, little"),
        (
            at(3, unit="big", max_mhz=199),
            r"max_mhz=199 is below the lowest clock of 'big'; give at least 200",
        ),
        (at(3, unit="big", cores=3), r"cores=3 but 'big' has 2"),
    ],
)
def test_a_board_that_cannot_is_refused(event: MixEvent, message: str) -> None:
    with pytest.raises(MixError, match=message):
        mix(event).check_board(UNITS)


def test_the_language_loads_neither_ray_nor_torch() -> None:
    code = "import sys, workloads; print(sorted({'ray', 'torch', 'supernets'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
