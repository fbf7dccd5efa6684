"""What a run's log notes of targets and applications on the way is in the header that its reader returns."""

from __future__ import annotations

from dataclasses import replace

from workloads.mix.mix import Target
from workloads.results.log_header import LogHeader, target_entry, with_changes

FIRST = Target(from_s=0.0, latency_ms=100.0, min_accuracy=0.0, weight=1.0, slo=0.95)
HEADER = LogHeader(
    mix="m",
    board="b",
    policy="joint",
    seed=0,
    time_scale=1.0,
    epoch_ms=100.0,
    emulated=True,
    power_source="",
    units_mhz={},
    ladders={"a": ("small",)},
    targets={"a": (FIRST, replace(FIRST, from_s=50.0, latency_ms=40.0))},
    accuracies={"a": ((0.5, "measured"),)},
    grounds={"apps": [{"app": "a"}]},
)
JOINED = {
    "kind": "app",
    "now_s": 5.0,
    "app": "b",
    "ladder": ["small", "large"],
    "accuracies": [(0.5, "measured"), (None, "unknown")],
    "metric": "top-1",
    "grounds": {"app": "b"},
}


def test_a_log_without_changes_keeps_its_header():
    assert with_changes(HEADER, [{"kind": "epoch", "now_s": 1.0}]) is HEADER


def test_targets_are_put_in_their_time_and_the_later_of_one_time_holds():
    entries = [
        target_entry("a", replace(FIRST, from_s=10.0, latency_ms=70.0), 10.0),
        target_entry("a", replace(FIRST, from_s=10.0, latency_ms=60.0), 10.0),
    ]
    changed = with_changes(HEADER, entries)
    assert changed.targets is not None
    assert [(target.from_s, target.latency_ms) for target in changed.targets["a"]] == [(0, 100), (10, 60), (50, 40)]
    assert replace(changed, targets=HEADER.targets) == HEADER


def test_an_application_that_joins_has_networks_targets_and_grounds():
    target = replace(FIRST, from_s=5.0)
    changed = with_changes(HEADER, [JOINED, target_entry("b", target, 5.0)])
    assert changed.ladders == {"a": ("small",), "b": ("small", "large")}
    assert changed.accuracies is not None
    assert changed.accuracies["b"] == ((0.5, "measured"), (None, "unknown"))
    assert changed.targets is not None
    assert changed.targets["b"] == (target,)
    assert changed.metrics == {"b": "top-1"}
    assert changed.grounds == {"apps": [{"app": "a"}, {"app": "b"}]}
