"""The table for a terminal says the same as the summary, and is never wider than 110 columns."""

import itertools
from dataclasses import replace

import pytest
from rich.console import Console

from helpers.synthetic_run import make_run
from workloads.report.table import fraction, joules, milliseconds, share, short_names, summary_table
from workloads.results.summary import Summary, energy_summary


def rendered(summaries: list[Summary], width: int = 200, emulated: bool = True) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(summary_table(summaries, emulated=emulated))
    return capture.get()


def with_policy(summary: Summary, policy: str, units_j: float | None) -> Summary:
    energy = energy_summary(units_j, None, units_source="unknown" if units_j is None else "modelled")
    return replace(summary, policy=policy, energy=energy)


BASE = make_run().summary
THREE = [
    with_policy(BASE, "joint", 50.0),
    with_policy(BASE, "schedutil", 75.0),
    with_policy(make_run(stalled=True).summary, "floor+schedutil", 60.0),
]


def rows_of(out: str, app: str) -> list[list[str]]:
    """Return the rows of an app: what it asked, then what each policy gave it."""
    lines = out.splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith(app))
    rest = itertools.takewhile(str.strip, lines[start:])
    return [line.split() for line in rest if not line.startswith(" " * 8)]


def test_one_run_says_what_was_asked_and_what_was_given() -> None:
    out = rendered([BASE])
    app = BASE.apps["entrance"]
    asked, given = rows_of(out, "entrance")
    assert asked == ["entrance", "≥", "95", "%", "≤", "60→30", "≥", "0.80→0.70"]
    assert given == [
        *("joint", *share(app.on_time).split(), app.verdict),
        *(milliseconds(app.latency_ms.p95), fraction(app.accuracy.value), str(app.switches)),
        *("w1-r96", "×", str(app.subnets["w1-r96"])),
    ]
    assert f"w2-r128 × {app.subnets['w2-r128']}" in out
    assert "not shown" in out
    assert "car-park on two-core-host, 40 s" in out


def test_it_says_what_the_accuracies_are_by_app() -> None:
    console = Console(width=110, color_system=None)
    metrics = {"entrance": "exact match", "yard": "mean sentence chrF", "garage": "exact match"}
    with console.capture() as capture:
        console.print(summary_table([BASE], metrics=metrics))
    assert "Accuracy: exact match (entrance, garage); mean sentence chrF (yard)" in capture.get()
    assert "Accuracy:" not in rendered([BASE])


def test_policies_stand_side_by_side_and_energy_is_compared_with_the_first() -> None:
    out = rendered(THREE)
    assert [row[0] for row in rows_of(out, "garage")] == ["garage", "joint", "schedutil", "floor+schedutil"]
    energy = {line.split()[0]: line.rstrip() for line in out.splitlines() if " J" in line}
    assert energy == {
        "joint": "joint               50.0 J",
        "schedutil": "schedutil           75.0 J  +50 % against joint",
        "floor+schedutil": "floor+schedutil     60.0 J  +20 % against joint",
    }


def test_an_app_that_one_policy_ran_alone_is_shown() -> None:
    alone = replace(BASE, apps={"entrance": BASE.apps["entrance"]})
    assert len(rows_of(rendered([alone, BASE]), "garage")) == 2


def test_emulated_and_modelled_energy_is_said() -> None:
    assert "Energy of the units, modelled, emulated clocks:" in rendered(THREE)
    assert "emulated" not in rendered(THREE, emulated=False)


def test_a_disturbed_run_is_called_void_and_others_are_not() -> None:
    lines = rendered(THREE).splitlines()
    (place,) = [place for place, line in enumerate(lines) if "void" in line]
    assert lines[place].strip() == "void, host disturbed: it stalled 1.1 % of the time, up to 310 ms"
    assert lines[place - 1].startswith("floor+schedutil")


def test_a_run_that_was_void_without_a_stall_shared_its_cpus() -> None:
    assert BASE.host is not None
    shared = replace(BASE, host=replace(BASE.host, stalled_share=0.001, void=True))
    assert "void: another run used the same CPUs" in rendered([shared])


def test_what_is_unknown_is_called_so() -> None:
    out = rendered([with_policy(BASE, "joint", None), with_policy(BASE, "schedutil", 60.0)])
    assert "joint        unknown" in out
    assert "against" not in out
    assert share(None) == milliseconds(None) == fraction(None) == joules(None) == "unknown"


@pytest.mark.parametrize("width", [110, 240])
def test_table_is_at_most_110_columns(width: int) -> None:
    long = replace(
        THREE[2],
        policy="a-user-policy-of-a-long-name+conservative",
        apps={"the-camera-at-the-far-end-of-the-yard": BASE.apps["entrance"], **BASE.apps},
    )
    lines = rendered([*THREE, long], width=width).splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 110
    assert sum("the-camera" in line for line in lines) == 1


@pytest.mark.parametrize(
    ("value", "text"), [(0.512, "0.512"), (4.25, "4.25"), (41.27, "41.3"), (99.96, "100"), (1234.5, "1234")]
)
def test_milliseconds_have_three_figures(value: float, text: str) -> None:
    assert milliseconds(value) == text


def test_under_a_verdict_is_that_on_each_segment() -> None:
    app = BASE.apps["entrance"]
    first, *others = app.segments
    half_late = replace(app, verdict="met", segments=[replace(first, on_time=0.5, n=400), *others])
    out = rendered([replace(BASE, apps={"entrance": half_late})])
    signs = next(line.split() for line in out.splitlines() if "✗" in line)
    assert signs[0] == "✗"
    assert len([sign for sign in signs if sign in "✓✗?"]) == len(app.segments)
    assert "Under a verdict: that on each target" in out


def test_one_segment_has_no_verdict_of_its_own() -> None:
    apps = {name: replace(app, segments=app.segments[:1]) for name, app in BASE.apps.items()}
    out = rendered([replace(BASE, apps=apps)])
    assert "Under a verdict" not in out
    assert not set("✓✗?") & set(out)


def test_long_names_of_sub_networks_lose_what_they_can_spare() -> None:
    assert short_names(["r16-2186", "r24-2c79"]) == ["r16-2186", "r24-2c79"]
    assert short_names(["e96-d96x1-17m-4e0a", "e256-d256x3-132m-d5de"]) == ["e96-d96x1-17m", "e256-d256x3-132m"]
    assert short_names(["a-long-name-of-a-network-1", "a-long-name-of-a-network-2"]) == [
        "a-long-n…etwork-1",
        "a-long-n…etwork-2",
    ]
