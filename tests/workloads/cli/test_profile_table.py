"""The table of `gearshift profile` says of each activity how it is known."""

from __future__ import annotations

from dataclasses import replace

from helpers.sized import by_size
from helpers.tiny_networks import profile
from workloads.cli.profile_table import profile_lines, reason_lines


def test_each_form_has_a_line_with_its_activity_and_source() -> None:
    tiny = profile()
    small, large = tiny.rungs
    one, two = small.times
    one = replace(one, activity=0.7312, activity_source="measured", activity_error=0.0123)
    two = replace(two, activity=0.83, activity_source="published")
    rungs = (replace(small, accuracy=0.5, accuracy_source="measured", times=(one, two)), large)
    lines = profile_lines(replace(tiny, rungs=rungs))
    assert [line.partition("activity ")[2] for line in lines] == [
        "0.731 ± 0.012 (measured)",
        "0.83 (published)",
        "1 (assumed)",
        "1 (assumed)",
    ]
    assert lines[1].split("accuracy")[0].split() == [
        "small",
        "2",
        "core(s)",
        "auto",
        "p50",
        "5.000",
        "p95",
        "5.000",
        "ms",
    ]
    assert "accuracy 0.5000 (measured)" in lines[0]
    assert "accuracy unknown" in lines[2]


def test_a_network_whose_time_depends_on_the_request_shows_its_line_and_what_is_doubtful() -> None:
    tiny = replace(by_size(profile(), (1.0, 3.0)), warnings=("small, 1 core(s): times are no line over work",))
    small, *_, warning = profile_lines(tiny)
    assert "ms   3 + 3.5 · size ms   accuracy" in small
    assert warning == "- warning: small, 1 core(s): times are no line over work"


def test_a_reason_names_the_first_networks_and_counts_the_others() -> None:
    reasons = {"no rail covers unit 'big'": ["a on 1 of big"], "it is emulated": [*"abcde"]}
    assert reason_lines(reasons) == [
        "- activity not measured: no rail covers unit 'big': a on 1 of big",
        "- activity not measured: it is emulated: a, b, c and 2 more",
    ]
