"""What a run left that did not come to its end is read as far as it goes, and what is damaged is refused."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import jsonschema
import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from actors.requests.records import EARLIER_RECORD, RECORD, RecordWriter, Status, read_records, record, spare_records
from helpers.command_line import assert_refused, gearshift
from helpers.file_limit import longest_file
from helpers.html_page import Page
from helpers.summary_schema import SCHEMA
from helpers.synthetic_run import MIX, Made, make_run
from scheduler.views import Gear
from workloads.report.run_report import write_report
from workloads.results.epoch_log import EpochLogWriter, read_epoch_log
from workloads.results.run_dir import EPOCHS_FILE, REQUESTS_FILE, SUMMARY_FILE, RunDirError, read_run
from workloads.results.salvage import NO_ENERGY
from workloads.results.stored_requests import records_file
from workloads.results.summary import HostSummary
from workloads.runs.failure import RunError, reason_of
from workloads.runs.result_files import ResultFiles

MADE = make_run()


@given(at_s=st.floats(0.15, 45))
@settings(max_examples=8)
def test_the_summary_of_a_killed_run_is_of_what_there_is(tmp_path_factory: pytest.TempPathFactory, at_s: float) -> None:
    run_dir = MADE.write_killed(tmp_path_factory.mktemp("killed"), at_s)
    run = read_run(run_dir)
    summary = run.summary
    jsonschema.validate(summary.to_dict(), SCHEMA)
    assert summary.duration_s <= min(at_s, MIX.duration_s)
    assert summary.host is not None
    assert summary.host.void
    assert summary.energy.units_j is None
    for name, app in summary.apps.items():
        records = MADE.records[name][MADE.records[name]["end_s"] <= at_s]
        assert app.completed == np.count_nonzero(records["status"] == Status.COMPLETED)
        assert app.dropped == np.count_nonzero(records["status"] == Status.DROPPED)
        assert app.submitted == app.completed + app.dropped + app.failed + app.in_flight
        assert app.submitted == np.count_nonzero(MADE.arrivals_s[name] <= summary.duration_s)
    assert run.missing[0].startswith("summary.json: made of the log and the records")


def earlier(records: NDArray[np.void]) -> NDArray[np.void]:
    """Return records as the versions wrote them that knew right and wrong results only."""
    before = np.empty(records.shape, dtype=EARLIER_RECORD)
    for name in set(RECORD.names or ()) - {"credit"}:
        before[name] = records[name]
    before["correct"] = np.where(np.isnan(records["credit"]), -1, records["credit"])
    return before


@pytest.mark.parametrize("killed", [False, True])
def test_a_run_of_an_earlier_version_is_read_with_its_credits(tmp_path: Path, killed: bool) -> None:
    run_dir = MADE.write_killed(tmp_path, 45) if killed else MADE.write(tmp_path)
    with np.load(run_dir / REQUESTS_FILE) as found:
        arrays = {name: earlier(held) if held.dtype == RECORD else held for name, held in found.items()}
    np.savez(run_dir / REQUESTS_FILE, **arrays)
    for app, records in MADE.records.items() if killed else ():
        records_file(run_dir, app).write_bytes(earlier(records).tobytes())
    run = read_run(run_dir)
    for name, app in run.summary.apps.items():
        assert app.accuracy == MADE.summary.apps[name].accuracy
        np.testing.assert_array_equal(run.records[name], MADE.records[name])
    write_report(run_dir)


def test_a_run_that_is_killed_after_its_last_request_has_the_same_figures(tmp_path: Path) -> None:
    salvaged = read_run(MADE.write_killed(tmp_path, 45)).summary
    for name, app in MADE.summary.apps.items():
        again = salvaged.apps[name]
        assert (again.completed, again.on_time, again.latency_ms) == (app.completed, app.on_time, app.latency_ms)
        assert (again.accuracy, again.subnets, again.switches) == (app.accuracy, app.subnets, app.switches)
    for unit, use in MADE.summary.units.items():
        assert salvaged.units[unit].busy == pytest.approx(use.busy, abs=0.02)


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ([SUMMARY_FILE], "summary.json: made of the log and the records"),
        ([EPOCHS_FILE], "epochs.msgpack: no gears, clocks and events are known"),
        ([REQUESTS_FILE], "requests.npz: no arrivals are known"),
        ([SUMMARY_FILE, REQUESTS_FILE], "records-garage.bin: no request of garage is known to have ended"),
    ],
)
def test_a_run_without_one_of_its_files_has_a_page_that_says_so(tmp_path: Path, gone: list[str], said: str) -> None:
    run_dir = MADE.write(tmp_path)
    for name in gone:
        (run_dir / name).unlink()
    assert any(line.startswith(said) for line in read_run(run_dir).missing)
    html = write_report(run_dir).read_text(encoding="utf-8")
    Page(html)
    assert f"Missing: {said}" in html


def test_a_killed_run_without_its_arrivals_is_summarized_by_what_ended(tmp_path: Path) -> None:
    run_dir = MADE.write_killed(tmp_path, 12.0)
    (run_dir / REQUESTS_FILE).unlink()
    run = read_run(run_dir)
    for name, app in run.summary.apps.items():
        assert app.submitted == np.count_nonzero(MADE.records[name]["end_s"] <= 12)
        assert app.in_flight == 0
    assert any(line.startswith("requests.npz: no arrivals are known") for line in run.missing)


def test_a_log_that_ends_before_the_records_is_said(tmp_path: Path) -> None:
    run_dir = MADE.write_killed(tmp_path, 12.0)
    log = (run_dir / EPOCHS_FILE).read_bytes()
    (run_dir / EPOCHS_FILE).write_bytes(log[: len(log) // 2])
    said = [line for line in read_run(run_dir).missing if line.startswith("epochs.msgpack: ends at ")]
    assert len(said) == 1


def test_the_command_reports_on_a_killed_run(tmp_path: Path) -> None:
    run_dir = MADE.write_killed(tmp_path, 12.0)
    ended = gearshift("report", run_dir, "--json")
    assert ended.code == 0
    assert json.loads(ended.out)["duration_s"] <= 12
    assert "summary.json: made of the log and the records, up to" in ended.err
    assert not (run_dir / "report.html").exists()


@pytest.mark.parametrize("at_s", [-1.0, 0.0])
def test_a_run_that_is_killed_before_its_first_epoch_has_no_summary(tmp_path: Path, at_s: float) -> None:
    made = make_run()
    made.entries = [entry for entry in made.entries if entry[1] < 0]
    with pytest.raises(RunDirError, match="none can be made: it ended before its first epoch"):
        read_run(made.write_killed(tmp_path, at_s))


# ---------------------------------------------------------------- what is damaged


def arrays(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def damage(run_dir: Path) -> None:
        with np.load(run_dir / REQUESTS_FILE) as found:
            kept = dict(found)
        kept["arrivals:garage"] = change(kept["arrivals:garage"])
        np.savez(run_dir / REQUESTS_FILE, **kept)

    return damage


def huge(run_dir: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**13,)})
    with zipfile.ZipFile(run_dir / REQUESTS_FILE) as found:
        members = {name: found.read(name) for name in found.namelist()}
    with zipfile.ZipFile(run_dir / REQUESTS_FILE, "w") as file:
        for name, data in members.items():
            file.writestr(name, header.getvalue() if name.startswith("arrivals") else data)


def broken_deflate(run_dir: Path) -> None:
    path = run_dir / REQUESTS_FILE
    with np.load(path) as found:
        kept = dict(found)
    np.savez_compressed(path, **kept)
    raw = bytearray(path.read_bytes())
    raw[200:260] = bytes(byte ^ 255 for byte in raw[200:260])
    path.write_bytes(raw)


def deep(run_dir: Path) -> None:
    (run_dir / SUMMARY_FILE).write_text("[" * 200_000)


@pytest.mark.parametrize(
    ("damage", "file"),
    [
        (arrays(lambda times: np.array(["x"] * 3)), REQUESTS_FILE),
        (arrays(lambda times: np.ones((2, 2))), REQUESTS_FILE),
        (arrays(lambda times: times.astype(np.int64)), REQUESTS_FILE),
        (huge, REQUESTS_FILE),
        (broken_deflate, REQUESTS_FILE),
        (deep, SUMMARY_FILE),
        (lambda run_dir: (run_dir / EPOCHS_FILE).write_bytes(b"\x91" * 5000), EPOCHS_FILE),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, damage: Callable[[Path], None], file: str) -> None:
    run_dir = MADE.write(tmp_path)
    damage(run_dir)
    assert_refused(gearshift("report", run_dir), file)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return MADE.write_killed(tmp_path_factory.mktemp("killed"), 1.0)


def test_accuracies_of_other_sub_networks_make_no_summary(killed: Path, tmp_path: Path) -> None:
    shutil.copytree(killed, tmp_path / "run")
    log = tmp_path / "run" / EPOCHS_FILE
    header, *entries = msgpack.Unpacker(io.BytesIO(log.read_bytes()))
    header["accuracies"]["garage"].append((0.5, "published"))
    log.write_bytes(b"".join(map(msgpack.packb, [header, *entries])))
    with pytest.raises(RunDirError, match="none can be made: the header of its log has accuracies of other sub-netw"):
        read_run(tmp_path / "run")


@given(raw=st.binary(max_size=3 * RECORD.itemsize))
@settings(max_examples=20)
def test_any_bytes_in_place_of_records_are_read_or_refused(killed: Path, raw: bytes) -> None:
    records_file(killed, "garage").write_bytes(raw)
    with suppress(RunDirError):
        jsonschema.validate(read_run(killed).summary.to_dict(), SCHEMA)


# ---------------------------------------------------------------- a full disk, a directory that goes


class _Request:
    def __init__(self, index: int) -> None:
        self.index, self.arrival_s, self.target_ms = index, index / 10, 60.0


def test_records_go_on_beside_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    link = tmp_path / "records-0"
    link.symlink_to(tmp_path / "disk" / "records-a.bin")
    with longest_file(RECORD.itemsize * 5 // 2):  # two records and a half
        writer = RecordWriter(link)
        for index in range(4):
            writer.write(record(_Request(index), Status.COMPLETED, index / 10 + 0.05))
    writer.write(record(_Request(4), Status.COMPLETED, 0.45))
    writer.close()
    assert spare_records(link).is_file()
    assert read_records(link)["index"].tolist() == [0, 1, 2, 3, 4]


def test_a_log_ends_with_a_whole_entry_where_its_disk_is_full(tmp_path: Path) -> None:
    path = tmp_path / EPOCHS_FILE
    entry = {"kind": "event", "now_s": 1.0, "text": "x" * 100}
    log = EpochLogWriter(path, MADE.header)
    log.append(entry)
    with longest_file(path.stat().st_size + 50):
        log.append(entry)
    log.append(entry)
    assert log.fault in ("File too large", "No space left on device")
    log.close()
    assert read_epoch_log(path)[1] == [entry]


def result_files(tmp_path: Path, made: Made) -> ResultFiles:
    out, directory = tmp_path / "out", tmp_path / "run"
    out.mkdir()
    directory.mkdir()
    files = ResultFiles(out, made.header, made.arrivals_s)
    files.begin(directory)
    for kind, now_s, fields in made.entries:
        files.log.append({"kind": kind, "now_s": now_s, **fields})
    return files


@pytest.mark.parametrize("length", [0, 1, 40])
def test_a_log_that_ends_within_its_header_is_none(tmp_path: Path, length: int) -> None:
    run_dir = MADE.write(tmp_path)
    log = (run_dir / EPOCHS_FILE).read_bytes()
    (run_dir / EPOCHS_FILE).write_bytes(log[:length])
    run = read_run(run_dir)
    assert run.missing == ("epochs.msgpack: no gears, clocks and events are known",)
    assert run.summary.to_dict() == MADE.summary.to_dict()


def test_records_that_cannot_be_begun_leave_no_file_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(file: int, length: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as broken:
        broken.setattr(os, "ftruncate", fail)
        before = len(os.listdir("/proc/self/fd"))
        RecordWriter(tmp_path / "records")
        assert len(os.listdir("/proc/self/fd")) == before


def gears(made: Made) -> dict[str, list[Gear]]:
    return {app: [] for app in made.records}


def test_a_directory_that_is_removed_in_a_run_is_written_again(tmp_path: Path) -> None:
    import shutil

    files = result_files(tmp_path, MADE)
    writer = RecordWriter(files.link("garage"))
    writer.write(tuple(MADE.records["garage"][0]))
    shutil.rmtree(tmp_path / "out")
    writer.write(tuple(MADE.records["garage"][1]))  # into a file that nobody sees any more
    again = RecordWriter(files.link("garage"))  # as the worker that is started in place of a killed one
    again.write(tuple(MADE.records["garage"][2]))
    records = {app: files.records(app) for app in MADE.records}
    assert records["garage"].tolist() == MADE.records["garage"][:3].tolist()
    files.write(MADE.summary, MADE.records, MADE.arrivals_s, write_more=lambda: None)
    files.close()
    assert read_run(tmp_path / "out").missing == ()


def test_a_summary_outlives_a_disk_that_takes_nothing(tmp_path: Path) -> None:
    files = result_files(tmp_path, MADE)
    with longest_file(100), pytest.raises(RunError, match=r"out: not all results could be written") as caught:
        files.write(MADE.summary, MADE.records, MADE.arrivals_s, write_more=lambda: None)
    files.close()
    assert caught.value.failure.summary is MADE.summary
    assert not list((tmp_path / "out").glob("*.new"))


def test_a_run_that_is_cut_short_says_why(tmp_path: Path) -> None:
    files = result_files(tmp_path, MADE)
    writer = RecordWriter(files.link("garage"))
    for one in MADE.records["garage"][:20]:
        writer.write(tuple(one))
    host = HostSummary(steal_s=0.1, stall_ms_max=3.0, stalled_share=0.0, void=False)
    failure = files.cut_short("the manager died", RuntimeError("x"), 9.0, gears(MADE), NO_ENERGY, host)
    files.close()
    assert failure.reason == "the manager died"
    run = read_run(tmp_path / "out")
    assert failure.summary is not None
    assert run.summary.to_dict() == failure.summary.to_dict()
    assert run.summary.duration_s == 9.0
    assert run.cut_short == "the manager died"
    assert "This run is void: it ended after 9.00 s. the manager died" in write_report(run.path).read_text()
    assert run.summary.apps["garage"].submitted == np.count_nonzero(MADE.arrivals_s["garage"] <= 9.0)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyboardInterrupt(), "interrupted"),
        (ValueError("one\ntwo\n"), "ValueError: two"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_reasons_are_one_line(error: BaseException, said: str) -> None:
    assert reason_of(error) == said
