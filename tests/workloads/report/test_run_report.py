"""The report is one self-contained page that agrees with the run directory, and refuses other directories."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from actors.requests.records import RECORD, Status
from helpers.html_page import Page
from helpers.synthetic_run import GEARS, Made, make_run
from workloads.report.plots import marks_of, plot_app
from workloads.report.run_report import ReportError, write_report
from workloads.results.run_dir import EPOCHS_FILE, REQUESTS_FILE, SUMMARY_FILE, read_run


def report(tmp_path: Path, made: Made) -> str:
    return write_report(made.write(tmp_path / "run")).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    return report(tmp_path_factory.mktemp("report"), make_run(stalled=True))


# ---------------------------------------------------------------- the page


def test_page_is_whole_and_needs_nothing_else(html: str) -> None:
    page = Page(html)
    assert not page.tags & {"script", "link", "img", "iframe"}
    assert all(link.startswith("#") for link in page.links)
    assert "url(http" not in html
    assert "@import" not in html
    identifiers = re.findall(r' id="([^"]*)"', html)
    referred = {link[1:] for link in page.links} | set(re.findall(r"url\(#([^)]*)\)", html))
    assert referred <= set(identifiers)


def test_page_says_what_was_run_and_that_it_was_emulated(html: str) -> None:
    for words in ("car-park", "joint", "two-core-host", "seed 0", "emulated clocks", "power modelled", "Odroid XU3"):
        assert words in html
    assert "void, host disturbed: it stalled 1.1 % of the time, up to 310 ms" in html
    assert "▒ host stalled" in html
    assert Page(html).headings == [
        "Summary",
        "What changed and why",
        "Why these plans",
        "entrance",
        "garage",
        "yard",
        "The board",
        "Every change of gear",
        "How this was measured",
    ]


def test_undisturbed_run_is_not_called_void(tmp_path: Path) -> None:
    page = report(tmp_path, make_run())
    assert "host disturbed" not in page
    assert "▒ host stalled" not in page


def test_noise_that_the_manager_is_not_told_of_is_said(tmp_path: Path, html: str) -> None:
    assert "noise" not in html
    made = make_run()
    made.header = replace(made.header, noise=0.1)
    assert "noise of 10 % on service times, of which the manager is not told" in report(tmp_path, made)


def test_a_trouble_that_lacks_a_field_is_damage(tmp_path: Path) -> None:
    made = make_run()
    made.entries.append(("unhealthy", 4.0, {"app": "garage"}))
    with pytest.raises(ReportError, match=r"epochs\.msgpack: an entry of kind 'unhealthy' is damaged"):
        report(tmp_path, made)


def test_simulated_run_says_so(tmp_path: Path) -> None:
    made = make_run()
    made.summary = replace(made.summary, backend="sim", host=None)
    page = report(tmp_path, made)
    assert "simulated: no network ran" in page
    assert "no host could disturb it" in page


def test_summary_table_says_what_the_summary_says(html: str) -> None:
    rows = {row[0]: row for row in Page(html).table("verdict")}
    for name, app in make_run().summary.apps.items():
        row = rows[name]
        assert app.on_time is not None
        assert f"{100 * app.on_time:.1f} %" in row[1]
        assert app.verdict in row[2]
        assert row[4] == ("60→30" if name == "entrance" else f"{app.target_ms:g}")
        assert f"exact match, {app.accuracy.source}, {app.accuracy.n}" in row[5]
        assert row[8] == str(app.switches)
        assert row[9].startswith(f"{app.submitted}")
        assert f"{app.completed} completed" in row[9]
        for subnet, n in app.subnets.items():
            assert f"{subnet} × {n}" in row[7]


def test_each_target_has_a_row_with_its_own_verdict(tmp_path: Path) -> None:
    made = make_run()
    app = made.summary.apps["entrance"]
    first, second, third = app.segments
    late = replace(second, on_time=0.5, n=400)
    all_apps = {**made.summary.apps, "entrance": replace(app, verdict="met", segments=(first, late, third))}
    made.summary = replace(made.summary, apps=all_apps)
    rows = Page(report(tmp_path, made)).table("from, s")
    assert [row[:3] for row in rows] == [["entrance", "0", "60"], ["entrance", "10", "30"], ["entrance", "30", "30"]]
    assert rows[1][4] == "50.0 %"
    assert "missed" in rows[1][5]
    assert "missed" not in rows[0][5]


def test_every_event_has_its_letter_and_what_followed_it(html: str) -> None:
    rows = {row[0].strip(): row for row in Page(html).table("what happened")}
    assert [row.strip() for row in rows] == ["", "A", "B", "C", "D", "E"]
    assert "entrance: w2-r128 on big, 1 core → w2-r128 on big, 2 cores" in rows["A"][3]
    assert "big: 1200 MHz → 2000 MHz" in rows["A"][3]
    assert rows["A"][4] == "0.080"
    assert "yard: none → w3-r128 on little, 1 core" in rows["C"][3]
    assert "entrance: none → w2-r128" in rows[""][3]
    assert rows[""][4] == ""


def test_a_change_belongs_to_the_latest_event_within_two_seconds(tmp_path: Path) -> None:
    made = make_run()
    made.entries += [
        ("event", 10.05, {"text": "power cap 3 W"}),
        ("gear", 13.0, {"app": "garage", "from": None, "to": ["w1-r64", "little", 1], "why": "late"}),
    ]
    rows = {row[0].strip(): row for row in Page(report(tmp_path, made)).table("what happened")}
    assert rows["A"][3] == "nothing"
    assert "2 cores" in rows["B"][3]
    assert rows["B"][4] == "0.030"
    assert "garage" not in rows["B"][3]


def test_what_went_wrong_is_said_if_anything_did(tmp_path: Path, html: str) -> None:
    assert "What went wrong" not in html
    made = make_run()
    made.entries.append(("policy_failed", 3.0, {"policy": "Mine", "error": "KeyError: 'x'"}))
    made.entries.append(("unhealthy", 4.0, {"app": "garage", "waiting_for": "Prepare"}))
    page = Page(report(tmp_path, made))
    assert page.table("details") == [
        ["3.000", "error", "policy Mine: KeyError: 'x'; the plan before stays in force"],
        ["4.000", "slow", "garage: no answer to the order to make a network ready"],
    ]


def test_every_change_of_gear_is_listed_with_its_reason(html: str) -> None:
    rows = Page(html).table("why")
    assert [(float(row[0]), row[1], row[4]) for row in rows] == [(gear[0], gear[1], gear[5]) for gear in GEARS]


def test_page_is_the_same_bytes_for_the_same_run(tmp_path: Path, html: str) -> None:
    run_dir = make_run(stalled=True).write(tmp_path)
    script = "import sys; from workloads.report.run_report import write_report; write_report(sys.argv[1])"
    subprocess.run([sys.executable, "-c", script, run_dir], env=os.environ | {"PYTHONHASHSEED": "1"}, check=True)
    assert (run_dir / "report.html").read_text(encoding="utf-8") == html


def test_names_are_escaped(tmp_path: Path) -> None:
    made = make_run()
    nasty = "<script>alert('x')</script> $\\frac{$ & \"q\""
    made.summary = replace(made.summary, mix=nasty, policy=nasty)
    made.entries = [
        (kind, now_s, fields | {"text": nasty} if kind == "event" else fields) for kind, now_s, fields in made.entries
    ]
    page = report(tmp_path, made)
    assert "script" not in Page(page).tags
    assert "&lt;script&gt;" in page


# ---------------------------------------------------------------- the plots


def drawn(svg: str, colour: str) -> int:
    """Markers of a colour; ticks are markers too, but of none of these."""
    return len(re.findall(rf"<use [^>]*(?:fill|stroke): {re.escape(colour)}[^>]*>", svg))


def test_every_request_is_drawn_once_in_the_colour_of_its_fate(tmp_path: Path) -> None:
    made = make_run()
    records = made.records["entrance"]
    dropped, failed, late, far = [3, 300], [40], [7, 8, 200], [100]
    for index in dropped:
        records["status"][index] = Status.DROPPED
    records["status"][failed] = Status.FAILED
    records["end_s"][late] = records["arrival_s"][late] + records["target_ms"][late] / 1000 + 0.001
    records["end_s"][far] = records["arrival_s"][far] + 5
    run = read_run(made.write(tmp_path))
    svg = plot_app(run, "entrance")
    was_late = made.summary.apps["entrance"]
    assert was_late.on_time is not None
    already_late = round(was_late.submitted * (1 - was_late.on_time))
    assert already_late == 1
    assert drawn(svg, "var(--late)") == already_late + len(dropped) + len(late) + len(far)
    assert drawn(svg, "var(--ink)") == len(failed)
    assert drawn(svg, "#0b7fc7") == records.size - already_late - len(dropped + failed + late + far)
    assert f"● {already_late + len(late) + len(far)} late" in svg
    assert "▲ 1 over" in svg


def test_a_long_run_does_not_make_a_heavy_page(tmp_path: Path) -> None:
    made = make_run()
    n = 30_000
    records = np.zeros(n, dtype=RECORD)
    records["index"] = np.arange(n)
    records["arrival_s"] = np.linspace(0, 39, n)
    records["end_s"] = records["arrival_s"] + 0.02
    records["target_ms"] = 60
    records["status"] = Status.COMPLETED
    made.records["entrance"], made.arrivals_s["entrance"] = records, records["arrival_s"]
    svg = plot_app(read_run(made.write(tmp_path)), "entrance")
    assert len(svg) < 300_000
    assert "data:image/png" in svg


def without(*kinds: str) -> Callable[[Made], None]:
    def change(made: Made) -> None:
        made.entries = [entry for entry in made.entries if entry[0] not in kinds]

    return change


def no_power(made: Made) -> None:
    for kind, _, fields in made.entries:
        if kind == "epoch":
            for unit in fields["units"].values():
                del unit["power_w"]


def power_of_one_unit(made: Made) -> None:
    for kind, _, fields in made.entries:
        if kind == "epoch":
            fields["units"]["little"]["power_w"] = None


def no_requests(made: Made) -> None:
    for app in made.records:
        made.records[app] = np.empty(0, dtype=RECORD)
        made.arrivals_s[app] = np.empty(0)


def governors(made: Made) -> None:
    made.entries = [
        (kind, now_s, fields | {"to": "ondemand"} if kind == "clock" else fields)
        for kind, now_s, fields in made.entries
    ]


def lost_worker(made: Made) -> None:
    made.entries.append(("lost", 15.0, {"app": "garage", "reason": "killed by signal 9"}))


def many_events(made: Made) -> None:
    made.entries += [("event", 12 + place / 100, {"text": f"event number {place}"}) for place in range(40)]


def other_letters(made: Made) -> None:
    made.header = replace(
        made.header, ladders=dict.fromkeys(made.records, ("模型-小", "a-very-long-name-of-a-sub-network"))
    )


@pytest.mark.parametrize(
    "change",
    [
        without("event"),
        without("gear", "clock"),
        without("epoch", "gear", "clock", "event"),
        no_power,
        power_of_one_unit,
        no_requests,
        governors,
        lost_worker,
        many_events,
        other_letters,
    ],
    ids=lambda change: change.__qualname__,
)
def test_whatever_a_run_lacks_or_abounds_in_there_is_a_page(tmp_path: Path, change: Callable[[Made], None]) -> None:
    made = make_run()
    change(made)
    Page(report(tmp_path, made))


def test_lost_workers_are_marked_among_the_events_and_end_the_gear(tmp_path: Path) -> None:
    made = make_run()
    lost_worker(made)
    run = read_run(made.write(tmp_path))
    assert [(mark.letter, mark.text) for mark in marks_of(run)][1] == (
        "B",
        "garage: worker lost, killed by signal 9",
    )


# ---------------------------------------------------------------- what is no run


def cut(name: str, keep: int) -> Callable[[Path], None]:
    def change(run_dir: Path) -> None:
        path = run_dir / name
        path.write_bytes(path.read_bytes()[:keep])

    return change


def replaced(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(run_dir: Path) -> None:
        path = run_dir / name
        path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")

    return change


def no_log(run_dir: Path) -> None:
    (run_dir / EPOCHS_FILE).write_text("no log at all", encoding="utf-8")


def other_records(run_dir: Path) -> None:
    names = ["entrance", "garage", "yard"]
    arrays = {prefix + app: np.zeros(3) for app in names for prefix in ("records:", "arrivals:")}
    np.savez(run_dir / REQUESTS_FILE, **arrays)


def damaged_gear(to: object) -> Callable[[Path], None]:
    def change(run_dir: Path) -> None:
        made = make_run()
        made.entries.append(("gear", 1.0, {"app": "entrance", "from": None, "to": to, "why": ""}))
        made.write(run_dir)

    return change


def other_units(run_dir: Path) -> None:
    made = make_run()
    made.header = replace(made.header, units_mhz={"gpu": (100.0,)})
    made.write(run_dir)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (cut(SUMMARY_FILE, 500), r"summary\.json: this is not whole JSON"),
        (no_log, r"epochs\.msgpack: this is no epoch log"),
        (cut(REQUESTS_FILE, 2000), r"requests\.npz: is cut short or damaged"),
        (cut(REQUESTS_FILE, 0), r"requests\.npz: is cut short or damaged"),
        (replaced(SUMMARY_FILE, '"schema": 1', '"schema": 9'), r"summary\.json: schema must be 1, not 9"),
        (replaced(SUMMARY_FILE, '"garage"', '"cellar"'), r"epochs\.msgpack: has other apps or units"),
        (other_records, r"requests\.npz: entrance: not the records of this version"),
        (damaged_gear(["w1-r64", "big"]), r"epochs\.msgpack: entry 9 of kind 'gear': to.*damaged"),
        (damaged_gear(["w1-r64", "big", "two"]), r"epochs\.msgpack: entry 9 of kind 'gear': to.*damaged"),
        (damaged_gear(7), r"epochs\.msgpack: entry 9 of kind 'gear': to.*damaged"),
        (other_units, r"epochs\.msgpack: has other apps or units than summary\.json"),
    ],
)
def test_what_is_no_run_is_refused(tmp_path: Path, change: Callable[[Path], None], message: str) -> None:
    run_dir = make_run().write(tmp_path / "run")
    change(run_dir)
    with pytest.raises(ReportError, match=message) as caught:
        write_report(run_dir)
    assert "\n" not in str(caught.value)
    assert not (run_dir / "report.html").exists()


def test_missing_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="there is no such directory"):
        write_report(tmp_path / "nowhere")


def test_a_page_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    run_dir = make_run().write(tmp_path)
    (run_dir / "report.html").mkdir()
    with pytest.raises(ReportError, match=r"report\.html: cannot be written: Is a directory"):
        write_report(run_dir)


def test_log_of_a_killed_run_is_shown_as_far_as_it_goes(tmp_path: Path) -> None:
    run_dir = make_run().write(tmp_path)
    path = run_dir / EPOCHS_FILE
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    page = Page(write_report(run_dir).read_text(encoding="utf-8"))
    assert 0 < len(page.table("why")) < len(GEARS)
