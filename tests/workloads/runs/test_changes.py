"""A plan changes as it is asked to, at the time asked for, and refuses by name what can't be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from actors.cluster import packaged_board
from helpers.live_runs import tiny_plan
from helpers.served import scaling
from scheduler.messages import AppJoined, AppLeft, TargetChanged
from workloads.mix.app import App
from workloads.mix.arrivals import External, Periodic
from workloads.mix.errors import MixError
from workloads.mix.events import at
from workloads.mix.mix import Mix
from workloads.runs import changes
from workloads.runs.plan import RunPlan


@pytest.fixture(scope="module")
def plan(tmp_path_factory) -> RunPlan:
    folder = tmp_path_factory.mktemp("plan")
    tiny = scaling(folder)
    mix = Mix(
        "changes",
        duration_s=100,
        apps=[
            App("a", supernet=tiny, arrivals=External(), latency_ms=100, weight=2),
            App("b", supernet=tiny, arrivals=Periodic(hz=5), latency_ms=100),
        ],
        events=[at(50, "a", latency_ms=40)],
    )
    return tiny_plan(folder, packaged_board("two-core-host"), mix, small=(1.0, 1.0), large=(2.0, 2.0))


def test_a_target_holds_until_an_event_of_the_mix(plan):
    changed, (event,) = changes.retargeted(plan, "a", {"latency_ms": 70, "slo": 0.9}, 10.0)
    presence = changed.apps["a"].presence
    assert [(target.from_s, target.latency_ms, target.slo, target.weight) for target in presence.targets] == [
        (0.0, 100, 0.95, 2),
        (10.0, 70, 0.9, 2),
        (50.0, 40, 0.95, 2),
    ]
    assert [changes.target_at(presence, at_s).latency_ms for at_s in (-1.0, 9.9, 10.0, 49.0, 51.0)] == [
        100,
        100,
        70,
        70,
        40,
    ]
    assert event.change == TargetChanged(app="a", target_ms=70, min_accuracy=0.0, weight=2, slo=0.9)
    # In time, between what is past and what is to come.
    assert [at_s for at_s, _ in changed.events] == [10.0, 50.0]
    again, _ = changes.retargeted(changed, "a", {"latency_ms": 60}, 10.0)
    assert [target.from_s for target in again.apps["a"].presence.targets] == [0.0, 10.0, 50.0]
    assert plan.apps["a"].presence.targets[0].latency_ms == 100


def test_an_application_joins_leaves_and_comes_back_to_its_place(plan):
    new = App("c", supernet=plan.apps["a"].app.supernet, arrivals=External(), latency_ms=30)
    joined, (event,) = changes.joined(plan, new, 5.0)
    assert event.change == AppJoined(app="c", from_s=5.0)
    assert list(joined.apps) == ["a", "b", "c"]
    left, (event,) = changes.removed(joined, "c", 6.0)
    assert event.change == AppLeft(app="c")
    assert [changes.has_left(left.events, "c", at_s) for at_s in (5.5, 6.0)] == [False, True]
    back, events = changes.joined(left, replace(new, latency_ms=20), 7.0)
    assert [type(event.change) for event in events] == [TargetChanged, AppJoined]
    assert not changes.has_left(back.events, "c", 7.0)
    assert [target.latency_ms for target in back.apps["c"].presence.targets] == [30, 20]
    assert list(back.apps) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"latency_ms": 0}, "app 'a': latency_ms must be above 0, not 0"),
        ({"weight": "2"}, "app 'a': weight must be a number, not '2'. Did you mean 2?"),
        ({"latency": 3}, "app 'a': 'latency' can't be changed. Did you mean 'latency_ms'?"),
        ({}, "nothing changes; give one of latency_ms, min_accuracy, weight, slo"),
    ],
)
def test_a_target_out_of_range_changes_nothing(plan, given, said):
    with pytest.raises(MixError) as raised:
        changes.retargeted(plan, "a", given, 1.0)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("app", "said"),
    [
        ({"name": "a"}, "app 'a' is there already; remove it first"),
        ({"arrivals": Periodic(hz=1)}, r"arrivals must be External\(\)"),
        ({"supernet": "ofa-plates"}, "supernet must be one of family, whose networks were measured before the start"),
    ],
)
def test_an_application_that_can_not_be_added_is_refused(plan, app, said):
    new = App("c", supernet=plan.apps["a"].app.supernet, arrivals=External(), latency_ms=30)
    with pytest.raises(MixError, match=said):
        changes.joined(plan, replace(new, **app), 1.0)


def test_changes_have_a_bound(plan, monkeypatch):
    monkeypatch.setattr(changes, "MOST_CHANGES", 4)
    changed = plan
    for number in range(2):
        changed, _ = changes.retargeted(changed, "a", {"latency_ms": 50 + number}, 1.0 + number)
    with pytest.raises(MixError, match="its targets were changed 4 times in this run"):
        changes.retargeted(changed, "a", {"latency_ms": 9}, 9.0)
