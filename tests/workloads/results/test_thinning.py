"""A long log is thinned: it keeps its bound, its ends, all that happened and the means of what was measured."""

from __future__ import annotations

import math
import os
import shutil
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.file_limit import longest_file
from helpers.synthetic_run import make_run
from workloads.results.epoch_log import EpochLogWriter, read_epoch_log
from workloads.results.run_dir import EPOCHS_FILE, read_run
from workloads.results.thinning import Thinner, changes_of, stood_for

MADE = make_run()
HEADER = MADE.header
BOUND = 20_000


def epoch(number: int, busy: float = 0.5) -> dict[str, Any]:
    units = {"big": {"mhz": 200.0 + number % 3, "busy": busy, "power_w": 2 * busy}}
    return {"kind": "epoch", "now_s": number / 10, "epoch": number, "units": units, "apps": {}, "rails": {"in": busy}}


def day(epochs: int) -> list[dict[str, Any]]:
    """Return the log of a run in which clocks change each second and a gear each 20 s."""
    entries: list[dict[str, Any]] = []
    for number in range(1, epochs + 1):
        entries.append(epoch(number, busy=number % 7 / 7))
        now_s = number / 10 + 0.01
        if number % 10 == 3:
            entries.append({"kind": "plan", "now_s": now_s, "why": ["late"], "gears": {}})
            entries.append({"kind": "clock", "now_s": now_s, "unit": "big", "from": number - 10, "to": number})
        if number % 200 == 7:
            entries.append({"kind": "gear", "now_s": now_s, "app": "entrance", "from": None, "to": ["s", "big", 1]})
    return entries


def thinned(entries: list[dict[str, Any]], every_s: float) -> list[dict[str, Any]]:
    thinner = Thinner(every_s)
    kept = [one for entry in entries for one in thinner.take(entry)]
    return kept + thinner.end()


def of_kind(entries: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [entry for entry in entries if entry["kind"] == kind]


def mean_busy(epochs: list[dict[str, Any]]) -> float:
    """Return the mean over all epochs that these stand for, the first left out."""
    times = stood_for(epochs)[1:]
    busy = [one["units"]["big"]["busy"] for one in epochs[1:]]
    return math.fsum(n * share for n, share in zip(times, busy, strict=True)) / sum(times)


kinds = st.sampled_from(["epoch", "epoch", "epoch", "clock", "plan", "decision", "gear", "event", "lost"])


@settings(max_examples=60)
@given(
    drawn=st.lists(st.tuples(kinds, st.floats(0.0, 3.0), st.floats(0, 1)), max_size=60),
    every_s=st.sampled_from([[1.0], [2.0, 8.0], [0.01], [1.0, 4.0, 3600.0]]),
)
def test_thinning_keeps_ends_happenings_and_means(drawn, every_s) -> None:
    entries, number, now_s = [], 0, -1.0
    for kind, wait_s, share in drawn:
        now_s += wait_s
        number += kind == "epoch"
        clock = {"unit": "big", "from": 1.0, "to": share}
        fields = {"epoch": {**epoch(number, share)}, "clock": clock, "plan": {"gears": {}}}.get(kind, {"text": share})
        entries.append({**fields, "kind": kind, "now_s": now_s})
    kept = entries
    for step_s in every_s:
        kept = thinned(kept, step_s)
    for kind in ("gear", "event", "lost"):
        assert of_kind(kept, kind) == of_kind(entries, kind)
    for kind in ("plan", "decision"):
        assert of_kind(kept, kind)[-1:] == of_kind(entries, kind)[-1:]
        assert [one["now_s"] for one in of_kind(kept, kind)] == sorted(one["now_s"] for one in of_kind(kept, kind))
    before, after = of_kind(entries, "epoch"), of_kind(kept, "epoch")
    assert len(of_kind(kept, "thinned")) == bool(before)
    assert sum(map(changes_of, of_kind(kept, "clock"))) == len(of_kind(entries, "clock"))
    if before:
        assert after[0] == before[0]
        assert (after[-1]["now_s"], after[-1]["epoch"]) == (before[-1]["now_s"], number)
        assert sum(stood_for(after)) == len(before)
        assert [one["now_s"] for one in after] == sorted(one["now_s"] for one in after)
        cells = Counter(one["now_s"] // every_s[-1] for one in after[1:])
        assert max(cells.values(), default=0) <= 1
    if len(before) > 1:
        assert mean_busy(after) == pytest.approx(mean_busy(before), abs=1e-9)
        assert (
            of_kind(kept, "clock")[-1:] == [] or of_kind(kept, "clock")[-1]["to"] == of_kind(entries, "clock")[-1]["to"]
        )


def test_of_the_plans_of_a_span_the_last_is_left_with_what_it_rests_on() -> None:
    entries: list[dict[str, Any]] = [epoch(0)]
    for number in range(1, 50):
        entries.append({"kind": "decision", "now_s": number / 10, "apps": {}})
        if number % 2:
            entries.append({"kind": "plan", "now_s": number / 10, "why": [], "gears": {}})
        entries.append(epoch(number))
    kept = thinned(entries, 1.0)
    # The epochs at 0.9, 1.9, ... stand for their second; the log ends at 4.9 s.
    assert [one["now_s"] for one in of_kind(kept, "plan")] == [0.9, 1.9, 2.9, 3.9, 4.9]
    assert [one["now_s"] for one in of_kind(kept, "decision")] == [0.9, 1.9, 2.9, 3.9, 4.9]


def test_a_log_keeps_its_bound_and_every_epoch_of_its_last_quarter(tmp_path: Path) -> None:
    path, entries = tmp_path / EPOCHS_FILE, day(4_000)
    largest = 0
    with EpochLogWriter(path, HEADER, bound_bytes=BOUND) as log:
        for entry in entries:
            log.append(entry)
            largest = max(largest, path.stat().st_size)
    assert sum(len(msgpack.packb(entry)) for entry in entries) > 20 * BOUND
    # A log goes on growing while it is thinned: by one entry for each 20 that are gone through.
    assert largest < 1.2 * BOUND
    header, kept = read_epoch_log(path)
    assert header == HEADER
    assert of_kind(kept, "gear") == of_kind(entries, "gear")
    epochs = of_kind(kept, "epoch")
    assert epochs[0] == entries[0]
    last = round(BOUND / 5 / len(msgpack.packb(entries[-1])))
    assert epochs[-last:] == of_kind(entries, "epoch")[-last:]
    assert sum(stood_for(epochs)) == 4_000
    assert mean_busy(epochs) == pytest.approx(mean_busy(of_kind(entries, "epoch")))
    assert sorted(os.listdir(tmp_path)) == [EPOCHS_FILE]


def test_a_log_below_its_bound_is_what_was_appended(tmp_path: Path) -> None:
    path, entries = tmp_path / EPOCHS_FILE, day(100)
    with EpochLogWriter(path, HEADER) as log:
        for entry in entries:
            log.append(entry)
    assert path.read_bytes().endswith(b"".join(map(msgpack.packb, entries)))


def test_a_log_of_nothing_but_what_is_kept_goes_beyond_its_bound(tmp_path: Path) -> None:
    path = tmp_path / EPOCHS_FILE
    entries = [{"kind": "event", "now_s": number / 10, "text": "x" * 50} for number in range(600)]
    with EpochLogWriter(path, HEADER, bound_bytes=BOUND) as log:
        for entry in entries:
            log.append(entry)
    assert read_epoch_log(path)[1] == entries


def test_a_kill_at_any_time_leaves_a_whole_log(tmp_path: Path) -> None:
    entries = day(400)
    for number in range(24):
        child = os.fork()
        if child == 0:
            log = EpochLogWriter(tmp_path / str(number), HEADER, bound_bytes=BOUND)
            for entry in entries[: 120 + 13 * number]:
                log.append(entry)
            os.kill(os.getpid(), signal.SIGKILL)
        # This child alone: other tests may have left one that ends just now.
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
    told = set()
    for number in range(24):
        _, kept = read_epoch_log(tmp_path / str(number))
        told |= {entry["kind"] for entry in kept}
        appended = entries[: 120 + 13 * number]
        assert kept[-1] == appended[-1]
        assert of_kind(kept, "gear") == of_kind(appended, "gear")
        assert sum(stood_for(of_kind(kept, "epoch"))) == len(of_kind(appended, "epoch"))
    assert "thinned" in told
    assert [name for name in os.listdir(tmp_path) if name.endswith(".new")]


def test_a_log_that_cannot_be_thinned_goes_on_and_is_thinned_later(tmp_path: Path) -> None:
    path, entries = tmp_path / "run" / EPOCHS_FILE, day(1_000)
    path.parent.mkdir()
    log = EpochLogWriter(path, HEADER, bound_bytes=BOUND)
    away = tmp_path / "away"
    path.parent.rename(away)
    for entry in entries[:500]:
        log.append(entry)
    assert log.fault is None
    assert read_epoch_log(away / EPOCHS_FILE)[1] == entries[:500]
    away.rename(path.parent)
    for entry in entries[500:]:
        log.append(entry)
    log.close()
    assert path.stat().st_size < 2 * BOUND
    assert of_kind(read_epoch_log(path)[1], "gear") == of_kind(entries, "gear")


def test_a_thinned_log_whose_directory_is_removed_is_written_again(tmp_path: Path) -> None:
    path, entries = tmp_path / "run" / EPOCHS_FILE, day(500)
    path.parent.mkdir()
    log = EpochLogWriter(path, HEADER, bound_bytes=BOUND)
    for entry in entries[:300]:
        log.append(entry)
    assert of_kind(read_epoch_log(path)[1], "thinned")
    shutil.rmtree(path.parent)
    for entry in entries[300:]:
        log.append(entry)
    path.parent.mkdir()
    log.restore()
    log.close()
    kept = read_epoch_log(path)[1]
    assert kept[-200:] == entries[-200:]
    assert of_kind(kept, "gear") == of_kind(entries, "gear")


def test_a_full_disk_ends_the_log_with_all_that_it_had(tmp_path: Path) -> None:
    path, entries = tmp_path / EPOCHS_FILE, day(300)
    log = EpochLogWriter(path, HEADER, bound_bytes=BOUND)
    with longest_file(BOUND // 10):  # neither the log nor the file that is to replace it
        for entry in entries:
            log.append(entry)
    log.close()
    assert log.fault
    kept = read_epoch_log(path)[1]
    assert kept == entries[: len(kept)]


def test_what_is_thinned_is_said_and_a_summary_made_of_it_is_that_of_the_run(tmp_path: Path) -> None:
    whole = MADE.write_killed(tmp_path / "whole", 39.0)
    run = read_run(whole)
    assert run.thinned is None
    header, entries = read_epoch_log(whole / EPOCHS_FILE)
    entries = [
        {**entry, "epoch": number} if entry["kind"] == "epoch" else entry for number, entry in enumerate(entries)
    ]
    with EpochLogWriter(whole / EPOCHS_FILE, header, bound_bytes=10 * 2**20) as log:
        for entry in entries:
            log.append(entry)
    run = read_run(whole)
    with EpochLogWriter(whole / EPOCHS_FILE, header) as log:
        for entry in thinned(entries, 2.0):
            log.append(entry)
    again = read_run(whole)
    assert str(again.thinned) == "up to 39 s one epoch in 2 s is left, as in the log of any long run"
    assert len(again.epochs) < len(run.epochs) / 10
    for unit, use in run.summary.units.items():
        assert again.summary.units[unit].clock_changes == use.clock_changes
        assert again.summary.units[unit].busy == pytest.approx(use.busy, abs=0.02)
    assert again.summary.apps == run.summary.apps
